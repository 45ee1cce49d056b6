"""The picture of docs/cloud-masks.md: a simulated winter coast, its truth and its mask.

Run ``python -m benchmarks fmask_figures``, or ``python benchmarks/fmask_figures.py other.png``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

COLOURS = np.array(
    [[0, 0, 0], [96, 144, 80], [255, 255, 255], [92, 64, 132], [130, 225, 250], [40, 70, 190]],
    np.uint8,
)


def main() -> None:
    from PIL import Image

    from skymend.clouds.fmask.engine import run_fmask
    from tests.fmask_case import scene_of, simulated, truth_on

    made = simulated(1, "all")
    mask = run_fmask(scene_of(made))
    rgb = made.reflectance[[made.bands.index(b) for b in ("B04", "B03", "B02")], ::2, ::2]
    shown = (np.clip(np.moveaxis(rgb, 0, -1) / 0.5, 0, 1) ** 0.7 * 255).astype(np.uint8)
    truth = COLOURS[truth_on(made, mask.labels.shape)]
    picture = np.concatenate([shown, truth, COLOURS[mask.labels]], axis=1)
    path = sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs/images/fmask.png"
    Image.fromarray(picture).save(path, optimize=True)


if __name__ == "__main__":
    main()
