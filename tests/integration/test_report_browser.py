"""The page in a real browser without any network: no error, no request, a slider that works."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from skymend.evaluate.table import build_table
from skymend.report.page import render_page
from skymend.report.series import read_series
from tests.report_case import make_region, radar_passes, score_rows

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


class Browser:
    """One headless tab, driven over the DevTools protocol on loopback."""

    def __init__(self, profile: Path) -> None:
        client = pytest.importorskip("websockets.sync.client", reason="websockets is missing")
        self.process = subprocess.Popen(
            [
                str(CHROMIUM),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--no-first-run",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                "--remote-debugging-port=0",
                "--remote-allow-origins=*",
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.socket = client.connect(self._address(profile), max_size=None)
        self.numbers = itertools.count(1)
        self.events: list[dict] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(t["targetId"] for t in targets if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    session: str | None = None

    def _address(self, profile: Path) -> str:
        port = profile / "DevToolsActivePort"
        for _ in range(300):
            if port.exists() and len(port.read_text().split()) == 2:
                number, path = port.read_text().split()
                return f"ws://127.0.0.1:{number}{path}"
            time.sleep(0.1)
        raise TimeoutError("chromium did not start")

    def call(self, method: str, **params: object) -> dict:
        number = next(self.numbers)
        message: dict = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv(timeout=30))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def open(self, path: Path, width: int = 1200) -> None:
        self.events.clear()
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=path.as_uri())
        for _ in range(100):
            if self.ask("document.readyState") == "complete":
                break
            time.sleep(0.05)
        time.sleep(0.3)

    def ask(self, expression: str) -> object:
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def key(self, name: str, code: int) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code
            )

    def requests(self) -> list[str]:
        sent = [e["params"]["request"]["url"] for e in self.events if _is(e, "requestWillBeSent")]
        return [url for url in sent if not url.startswith(("file:", "data:"))]

    def complaints(self) -> list[str]:
        return [
            json.dumps(e["params"])[:3000]
            for e in self.events
            if _is(e, "exceptionThrown") or _is(e, "entryAdded") or _is(e, "consoleAPICalled")
        ]

    def close(self) -> None:
        self.socket.close()
        os.killpg(self.process.pid, 15)
        self.process.wait(20)


def _is(event: dict, name: str) -> bool:
    return str(event.get("method", "")).endswith(f".{name}")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    made, acquired = make_region(folder)
    table = build_table(score_rows(), notes=("network trained on simulated data only",))
    text = render_page(read_series(made, acquired, radar_passes()), table, trials=score_rows())
    path = folder / "index.html"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_check_itself_sees_requests_and_errors(browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text('<img src="http://example.org/x.png"><script>nothing()</script>')
    browser.open(bad)
    assert browser.requests() == ["http://example.org/x.png"]
    assert any("nothing is not defined" in text for text in browser.complaints())


def test_page_opens_without_network_or_error(browser, page):
    browser.open(page)
    assert browser.requests() == []
    assert browser.complaints() == []
    assert browser.ask("document.querySelectorAll('.slider input[type=range]').length") == 9


def test_every_picture_decodes(browser, page):
    browser.open(page)
    browser.ask("document.querySelectorAll('img').forEach(i => { i.loading = 'eager' })")
    time.sleep(1.0)
    broken = "[...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).length"
    assert browser.ask(broken) == 0


def test_slider_follows_the_keyboard(browser, page):
    browser.open(page)
    browser.ask("document.querySelector('.slider input').focus()")
    for _ in range(3):
        browser.key("ArrowRight", 39)
    assert browser.ask("document.querySelector('.slider input').value") == "53"
    place = "getComputedStyle(document.querySelector('.slider')).getPropertyValue('--x')"
    assert browser.ask(place) == "53%"
    spoken = "document.querySelector('.slider input').getAttribute('aria-valuetext')"
    assert browser.ask(spoken) == "53 % before, 47 % after"


@pytest.mark.parametrize("width", [360, 768, 1200])
def test_page_never_scrolls_sideways_as_a_whole(browser, page, width):
    browser.open(page, width)
    assert browser.ask("document.documentElement.scrollWidth") <= width


def test_slider_covers_its_pictures_on_a_phone(browser, page):
    browser.open(page, 360)
    sizes = browser.ask(
        "(() => { const s = document.querySelector('.slider');"
        "const r = e => { const b = e.getBoundingClientRect(); return [b.width, b.height] };"
        "return [r(s), ...[...s.querySelectorAll('img,input')].map(r)] })()"
    )
    for size in sizes[1:]:
        assert size == pytest.approx(sizes[0], abs=1)
