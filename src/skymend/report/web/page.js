"use strict";
for (const slider of document.querySelectorAll(".slider")) {
  const input = slider.querySelector("input");
  const show = () => {
    slider.style.setProperty("--x", input.value + "%");
    input.setAttribute("aria-valuetext", input.value + " % before, " + (100 - input.value) + " % after");
  };
  input.addEventListener("input", show);
  show();
}
for (const bar of document.querySelectorAll(".strip i")) bar.style.width = 100 * bar.dataset.w + "%";
