"""Write a scenario as the products that providers deliver, and its truth."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skymend.core.cog import write_cog
from skymend.core.encoding import LABELS, REFLECTANCE, Encoding, FloatArray
from skymend.core.errors import ConfigError
from skymend.simulate.catalogue import Catalogue
from skymend.simulate.geotiff import write_band
from skymend.simulate.landscape import (
    BROADLEAF,
    CONIFER,
    FIELD,
    GRASS,
    TOWN,
    WATER,
    landscape,
)
from skymend.simulate.optical import Image, observe
from skymend.simulate.radar import backscatter
from skymend.simulate.radar_series import write_pass_grd, write_wide_elevation
from skymend.simulate.s1tiling import write_pass
from skymend.simulate.safe_s2 import write_l1c, write_l2a
from skymend.simulate.safe_series import surface_granule
from skymend.simulate.scenario import Pass, Scenario
from skymend.simulate.seasons import CLEAR_CUT, CUT, FLOOD, HARVEST, PLOUGH, changes
from skymend.simulate.spectra import reflectance
from skymend.simulate.surface import flood_plain
from skymend.simulate.theia import write_product
from skymend.simulate.toa_series import toa_granule

FORMATS = ("theia", "s1tiling", "dem", "stac", "truth")
"""What :func:`write` writes by default."""
SAFE_FORMATS = ("safe-l2a", "safe-l1c", "safe-grd")
"""What it writes on request: products as the Copernicus services deliver them."""
CHANGES_KEPT = 3

_CHANGE = Encoding("change", "uint16", 1.0, 0, "class")


def write(folder: Path, scenario: Scenario, *, formats: Sequence[str] = FORMATS) -> None:
    """Write a scenario below ``folder``: the same scenario gives the same bytes.

    - ``theia/<product>/``: FRE bands (int16, reflectance x 10000, nodata -10000) and masks;
    - ``s1tiling/<tile>/``: VV and VH (float32 linear sigma nought, nodata 0);
    - ``dem/<tile>.tif``: elevation above the geoid in metres, 10 m;
    - ``stac/catalog.json``: the same images as COGs with items;
    - ``safe/<product>.SAFE`` on request: Sentinel-2 Level-2A (``safe-l2a``) and
      Level-1C (``safe-l1c``), Sentinel-1 IW GRD in two slices (``safe-grd``) with
      ``dem/wide.tif``, elevation above the geoid for 25 km around;
    - ``truth/<yyyymmdd>_reflectance.tif`` and ``_labels.tif`` of every optical date (COGs,
      without clouds; labels before any mask error) and ``truth/changes.tif``: up to three
      abrupt changes per pixel inside the period as ``date_n`` (days since 1970-01-01) and
      ``kind_n`` (1 harvest, 2 cut, 3 plough, 4 clear-cut, 5 flood).

    Parameters
    ----------
    folder : created if missing; files in it of the same name are replaced.
    formats : which of ``FORMATS`` and ``SAFE_FORMATS`` to write.

    Raises
    ------
    ConfigError
        if a format is unknown.
    StoreError
        if a file cannot be written.
    """
    _check(formats)
    wanted = set(formats)
    catalogue = Catalogue(folder / "stac", scenario)
    if wanted & {"theia", "stac", "truth", "safe-l2a", "safe-l1c"}:
        for day in scenario.optical_dates():
            _write_optical(folder, scenario, day, formats, catalogue)
    if wanted & {"s1tiling", "stac", "safe-grd"}:
        for acquisition in scenario.radar_passes():
            _write_radar(folder, scenario, acquisition, formats, catalogue)
    if "stac" in wanted:
        catalogue.finish()
    if "dem" in wanted:
        elevation = landscape(scenario.seed, scenario.size_px).elevation
        path = folder / "dem" / f"{scenario.tile}.tif"
        write_band(path, elevation, scenario.grid, nodata=-32768.0)
    if "safe-grd" in wanted:
        write_wide_elevation(folder / "dem" / "wide.tif", scenario)
    if "truth" in wanted:
        _write_changes(folder / "truth", scenario)


def truth(scenario: Scenario, day: date) -> FloatArray:
    """Return the cloud-free reflectance of any day.

    Returns
    -------
    (bands, rows, columns) float32, 0..1, on the 10 m grid in the order of
    ``scenario.bands``; without clouds, haze, noise or swath edge.
    """
    return reflectance(scenario, day).copy()


def change_maps(scenario: Scenario) -> npt.NDArray[np.uint16]:
    """Return the first three abrupt changes of each pixel inside the period.

    Returns
    -------
    (date_1, kind_1, date_2, kind_2, date_3, kind_3; rows, columns): days since 1970-01-01 and
    the kind of change, 0 where there is none.
    """
    land = landscape(scenario.seed, scenario.size_px)
    maps = np.zeros((2 * CHANGES_KEPT, *scenario.shape), np.uint16)
    count = np.zeros(scenario.shape, np.int8)
    last = scenario.start + timedelta(days=scenario.days - 1)
    eligible = _changeable(scenario)
    for day, kind, parcels in changes(scenario.seed, scenario.size_px, scenario.start, last):
        touched = flood_plain(land) if kind == FLOOD else np.isin(land.parcel, parcels)
        touched = touched & eligible[kind]
        for rank in range(CHANGES_KEPT):
            here = touched & (count == rank)
            maps[2 * rank][here] = (day - date(1970, 1, 1)).days
            maps[2 * rank + 1][here] = kind
        count += touched
    return maps


def _changeable(scenario: Scenario) -> dict[int, npt.NDArray[np.bool_]]:
    """Return where each kind of change can be seen: fields, meadows, forest, not water."""
    cover = landscape(scenario.seed, scenario.size_px).cover
    field = cover == FIELD
    forest = (cover == BROADLEAF) | (cover == CONIFER)
    return {
        HARVEST: field,
        PLOUGH: field,
        CUT: field | (cover == GRASS),
        CLEAR_CUT: forest,
        FLOOD: ~forest & (cover != WATER) & (cover != TOWN),
    }


def _check(formats: Sequence[str]) -> None:
    unknown = sorted(set(formats) - {*FORMATS, *SAFE_FORMATS})
    if unknown:
        raise ConfigError(
            where="formats",
            expected="some of " + ", ".join((*FORMATS, *SAFE_FORMATS)),
            found=", ".join(unknown),
            fix="drop or correct the name",
        )


def _write_optical(
    folder: Path, scenario: Scenario, day: date, formats: Sequence[str], catalogue: Catalogue
) -> None:
    image: Image = observe(scenario, day)
    if "theia" in formats:
        write_product(folder / "theia", scenario, day, image)
    if "stac" in formats:
        catalogue.add_optical(day, image)
    if "safe-l2a" in formats:
        write_l2a(folder / "safe", surface_granule(scenario, day, image))
    if "safe-l1c" in formats:
        write_l1c(folder / "safe", toa_granule(scenario, day))
    if "truth" in formats:
        target = folder / "truth"
        target.mkdir(parents=True, exist_ok=True)
        path = target / f"{day:%Y%m%d}_reflectance.tif"
        write_cog(path, truth(scenario, day), scenario.grid, scenario.bands, REFLECTANCE)
        path = target / f"{day:%Y%m%d}_labels.tif"
        write_cog(path, image.labels[None], scenario.grid, ("labels",), LABELS)


def _write_radar(
    folder: Path,
    scenario: Scenario,
    acquisition: Pass,
    formats: Sequence[str],
    catalogue: Catalogue,
) -> None:
    if "safe-grd" in formats:
        write_pass_grd(folder / "safe", scenario, acquisition)
    if not {"s1tiling", "stac"} & set(formats):
        return
    image = backscatter(scenario, acquisition)
    if "s1tiling" in formats:
        write_pass(folder / "s1tiling", scenario, acquisition, image)
    if "stac" in formats:
        catalogue.add_radar(acquisition, image)


def _write_changes(folder: Path, scenario: Scenario) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{what}_{n + 1}" for n in range(CHANGES_KEPT) for what in ("date", "kind")]
    write_cog(folder / "changes.tif", change_maps(scenario), scenario.grid, names, _CHANGE)
