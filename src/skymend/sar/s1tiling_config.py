"""The configuration of S1Tiling 1.4, written from the chain, the tile and the pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from skymend.core.errors import ConfigError
from skymend.core.files import write_text
from skymend.sar.engine import POLARISATIONS, Chain
from skymend.sar.external import Order, ToolSettings
from skymend.sar.geoid import find_egm96
from skymend.sar.passes import Pass
from skymend.sar.s1tiling_inputs import dem_tiles, lay_out

Section = Mapping[str, str]

_CALIBRATIONS = {
    "sigma0": "sigma",
    "gamma0": "gamma",
    "beta0": "beta",
    "gamma0-flattened": "gamma_naught_rtc",
}
_FILTERS = {"none": "none", "lee": "Lee", "gamma-map": "Gammamap"}
_INTERPOLATIONS = {"nearest": "nn", "bilinear": "linear"}
_LOOKS = 4.4
_STEM = (
    "{flying_unit_code}_{tile_name}_{polarisation}_{orbit_direction}_{orbit}_{acquisition_stamp}"
)


@dataclass(frozen=True, slots=True)
class S1TilingSettings(ToolSettings):
    """Where S1Tiling is and what it may use; ``memory_gb`` is that of one process of OTB."""

    ENGINE: ClassVar[str] = "S1TILING"

    memory_gb: float = 4.0


def prepare(order: Order, tile: str, settings: S1TilingSettings) -> Path:
    """Lay out what S1Tiling reads below the work folder and write its configuration.

    Returns
    -------
    The configuration file.

    Raises
    ------
    ProductError
        if the DEM has no height in the tile.
    """
    track, chain, work = order.track, order.chain, order.work
    for name in ("out", "tmp", "eof"):
        (work / name).mkdir(parents=True, exist_ok=True)
    lay_out(track, work / "s1_images")
    flattened = chain.convention == "gamma0-flattened"
    dem_tiles(order.dem, tile, track, work / "dem", whole=flattened)
    eof = track.orbit_file(order.orbit)
    if eof is not None:
        (work / "eof" / eof.name).write_bytes(eof.read_bytes())
    sections = {
        "Paths": _paths(work, order.geoid or find_egm96(), order.dem),
        "DataSource": _source(track, tile),
        "Mask": {"generate_border_mask": "False"},
        "Quicklook": {"generate": "False"},
        "Processing": _processing(chain, tile, order.grid.resolution, order.cpus, settings),
        "Filtering": _filtering(chain),
    }
    config = work / "s1tiling.cfg"
    write_text(config, ini(sections))
    return config


def ini(sections: Mapping[str, Section]) -> str:
    """Return a configuration as text; ``%`` is doubled, because S1Tiling interpolates."""
    lines = []
    for title, options in sections.items():
        lines.append(f"[{title}]")
        for name, value in options.items():
            if "\n" in value:
                raise ConfigError(
                    where=f"{title}.{name}",
                    expected="one line",
                    found=repr(value[:60]),
                    fix="rename the file or folder",
                )
            lines.append(f"{name} : {value.replace('%', '%%')}")
        lines.append("")
    return "\n".join(lines)


def demands(chain: Chain) -> dict[str, tuple[bool, str, object]]:
    """Return what S1Tiling can do: option -> whether it fits, what would, and what was found."""
    return {
        "chain.speckle": (chain.speckle in _FILTERS, "none, lee or gamma-map", chain.speckle),
        "chain.multilook": (chain.multilook == 1, "1", chain.multilook),
        "chain.remove_border_noise": (chain.remove_border_noise, "true (it always cuts)", "false"),
    }


def _paths(work: Path, geoid: Path, dem: Path) -> Section:
    return {
        "output": str(work / "out"),
        "s1_images": str(work / "s1_images"),
        "dem_dir": str(work / "dem"),
        "dem_format": "{id}.tif",
        "dem_info": dem.stem,
        "eof_dir": str(work / "eof"),
        "tmp": str(work / "tmp"),
        "geoid_file": str(geoid),
    }


def _source(track: Pass, tile: str) -> Section:
    first, last = track.slices[0], track.slices[-1]
    channels = sorted(track.channels, key=POLARISATIONS.index)
    return {
        "download": "False",
        "roi_by_tiles": tile,
        "platform_list": f"S1{first.platform[-1].upper()}",
        "polarisation": "-".join(channels),
        "orbit_direction": "ASC" if first.direction == "ascending" else "DES",
        "relative_orbit_list": str(first.relative_orbit),
        "first_date": f"{first.time:%Y-%m-%d}",
        "last_date": f"{last.stop:%Y-%m-%d}",
        "tile_to_product_overlap_ratio": "0",
    }


def _processing(
    chain: Chain, tile: str, resolution_m: float, cpus: int, settings: S1TilingSettings
) -> Section:
    calibration = _CALIBRATIONS[chain.convention]
    processing = {
        "calibration": calibration,
        "remove_thermal_noise": str(chain.remove_thermal_noise),
        "lower_signal_value": "1e-7",
        "output_spatial_resolution": f"{resolution_m:g}",
        "orthorectification_gridspacing": f"{4 * resolution_m:g}",
        "orthorectification_interpolation_method": _INTERPOLATIONS[chain.resampling],
        "tiles": tile,
        "cache_dem_by": "symlink",
        "mode": "Normal",
        "nb_parallel_processes": "1",
        "ram_per_process": str(round(settings.memory_gb * 1024)),
        "nb_otb_threads": str(cpus),
    }
    if calibration in {"gamma", "beta"}:
        # Plain names mean sigma0: the calibration must show in the others.
        processing["fname_fmt.concatenation"] = f"{_STEM}_{{calibration_type}}.tif"
        processing["fname_fmt.filtered"] = f"{_STEM}_{{calibration_type}}_filtered.tif"
    return processing


def _filtering(chain: Chain) -> Section:
    if chain.speckle == "none":
        return {"filter": "none"}
    return {
        "filter": _FILTERS[chain.speckle],
        "window_radius": str(chain.speckle_window // 2),
        "nblooks": str(_LOOKS),
        "keep_non_filtered_products": "False",
    }
