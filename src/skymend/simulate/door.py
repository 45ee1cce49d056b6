"""``skymend simulate``: write a preset season."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skymend.core.errors import ConfigError
from skymend.simulate.scenario import Scenario, demo, growing_season, tiny
from skymend.simulate.series import FORMATS, write

MOST_DAYS = 3660

_PRESETS = {"demo": demo, "season": growing_season, "tiny": tiny}


def scenario_of(preset: str, *, days: int | None = None, seed: int | None = None) -> Scenario:
    """Return a preset, with another length or seed if given.

    Raises
    ------
    ConfigError
        if the preset is unknown, or a number out of its range.
    """
    if preset not in _PRESETS:
        raise ConfigError(
            where="--preset",
            expected=" or ".join(sorted(_PRESETS)),
            found=repr(preset),
            fix="choose one",
        )
    _check_range("--days", days, 1, MOST_DAYS)
    _check_range("--seed", seed, 0, 2**32 - 1)
    changes = {name: value for name, value in (("days", days), ("seed", seed)) if value is not None}
    return Scenario.model_validate({**_PRESETS[preset]().model_dump(), **changes})


def _check_range(where: str, value: int | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        raise ConfigError(
            where=where, expected=f"{least} to {most}", found=str(value), fix="choose another"
        )


def simulate_preset(
    folder: Path,
    preset: str,
    *,
    days: int | None = None,
    seed: int | None = None,
    formats: Sequence[str] = FORMATS,
) -> str:
    """Write a preset season below ``folder`` and say what is there."""
    scenario = scenario_of(preset, days=days, seed=seed)
    write(folder, scenario, formats=formats)
    optical, radar = len(scenario.optical_dates()), len(scenario.radar_passes())
    rows, columns = scenario.shape
    return (
        f"simulated {optical} Sentinel-2 and {radar} Sentinel-1 dates of {rows} x {columns} "
        f"pixels in {scenario.tile} from {scenario.start} in {folder}"
    )
