"""Simulated cloud scenes as Fmask sees them, and how well a mask hits the truth."""

import numpy as np

from skymend.clouds.fmask.scene import Bands, Scene, absent, to_celsius, to_short
from skymend.products.toa import Angles
from skymend.simulate.cloud_scene import CloudScene, cloud_scene, means
from skymend.simulate.msi import angles, centres

ROLES = ("B02", "B03", "B04", "B8A", "B11", "B12", "B10")
LANDSAT = ("B02", "B03", "B04", "B05", "B06", "B07", "B09")
CASES = {
    "plain": {},
    "snow": {"snow": True},
    "town": {"town": True},
    "coast": {"coast": True},
    "low sun": {"sun_zenith": 65.0},
    "all": {"snow": True, "town": True, "coast": True, "sun_zenith": 65.0},
}


def scene_of(made: CloudScene, resolution_m: int = 20) -> Scene:
    """Return a simulated scene as the reader would hand it to the engine."""
    if made.sensor != "sentinel-2":
        planes = [to_short(made.reflectance[made.bands.index(b)]) for b in LANDSAT]
        celsius = to_celsius(made.brightness_temperature)
        nadir = Angles(0.0, 0.0)
        sun = Angles(*made.sun)
        bands = Bands(*planes, celsius)
        return Scene(bands, made.grid, "landsat-8", sun, nadir, heights=made.elevation)
    step = resolution_m // 10

    def band(name):
        return to_short(means(made.reflectance[made.bands.index(name)], step))

    grid = made.grid.at_resolution(resolution_m)
    view = angles(*made.swath.tangents("B8A", *centres(grid.at_resolution(200))))
    return Scene(
        Bands(*(band(name) for name in ROLES), absent()),
        grid,
        "sentinel-2",
        Angles(*made.sun),
        Angles(*(a.astype(np.float32) for a in view)),
        red_edge=band("B07"),
        nir_wide=band("B08"),
        heights=means(made.elevation, step),
    )


def truth_on(made: CloudScene, shape: tuple[int, int]):
    """Return the commonest true label of each pixel of the mask."""
    step = made.labels.shape[0] // shape[0]
    if step == 1:
        return made.labels
    return np.argmax([means((made.labels == n).astype(np.float32), step) for n in range(6)], 0)


def f1(found, truth) -> float:
    """Return 2 TP / (2 TP + FP + FN)."""
    return 2 * float((found & truth).sum()) / max(1, int(found.sum()) + int(truth.sum()))


def simulated(seed: int, case: str, **changes) -> CloudScene:
    return cloud_scene(seed, **CASES[case], **changes)
