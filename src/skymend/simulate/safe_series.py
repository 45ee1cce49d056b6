"""The acquisitions of a scenario as Sentinel-2 SAFE products."""

from __future__ import annotations

from datetime import date

import numpy as np

from skymend.core.encoding import ByteArray, FloatArray
from skymend.products.labels import from_maja
from skymend.simulate.clouds import sky
from skymend.simulate.granule import Granule, require_whole_pixels
from skymend.simulate.msi import BANDS, Swath
from skymend.simulate.optical import WATERS, Image, observe
from skymend.simulate.safe_s2_quality import means
from skymend.simulate.scenario import Scenario

_COASTAL_OF_BLUE, _VAPOUR_OF_RED_EDGE = 0.88, 0.98


def surface_granule(scenario: Scenario, day: date, image: Image | None = None) -> Granule:
    """Return the Level-2A acquisition of a day: the reflectance that THEIA's product holds too.

    The bands are those of the scenario; B01 and B09, which only SAFE has, follow the 60 m
    means of B02 and B8A. With ``mask_errors`` the scene classification has those errors.

    Parameters
    ----------
    image : what :func:`~skymend.simulate.optical.observe` returned, if at hand.
    """
    require_whole_pixels(scenario.grid)
    seen = observe(scenario, day) if image is None else image
    above = sky(scenario, day)
    stack = dict(zip(scenario.bands, seen.reflectance, strict=True))
    images = {b: sampled(i, BANDS[b].resolution_m) for b, i in stack.items()}
    if "B02" in stack:
        images["B01"] = _COASTAL_OF_BLUE * sampled(stack["B02"], 60)
    if "B8A" in stack:
        images["B09"] = _VAPOUR_OF_RED_EDGE * sampled(stack["B8A"], 60)
    return Granule(
        platform=platform(scenario, day),
        level="L2A",
        time=scenario.optical_time(day),
        tile=scenario.tile,
        baseline=scenario.baseline,
        grid=scenario.grid,
        reflectance={b: images[b] for b in BANDS if b in images},
        labels=_labels(scenario, seen),
        swath=swath(scenario),
        aerosol=float(np.mean(above.aerosol)) * 10,
        cloud=1 - (1 - above.thick) * (1 - above.thin),
        cirrus=above.thin,
    )


def platform(scenario: Scenario, day: date) -> str:
    """Return ``S2A`` or ``S2B``, the satellite of a day."""
    return "S" + scenario.platform(day)[-2:]


def swath(scenario: Scenario) -> Swath:
    """Return the place of a scenario in the swath: the seam of two detectors crosses it."""
    left, bottom, right, top = scenario.grid.bounds
    return Swath(((left + right) / 2, (bottom + top) / 2))


def sampled(image: FloatArray, resolution_m: int) -> FloatArray:
    """Return the means of a 10 m image over pixels of 10, 20 or 60 m; NaN where any is."""
    return means(image, resolution_m // 10)


def _labels(scenario: Scenario, seen: Image) -> ByteArray:
    if not scenario.mask_errors:
        return seen.labels
    labels = from_maja(seen.clm)
    labels[(labels == 1) & (seen.labels == WATERS)] = WATERS
    labels[seen.edge] = 0
    return labels
