"""The declared scaling of every input: what a card says and training applies alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from skymend.core.errors import ConfigError
from skymend.models.branch_unet import UNetSpec
from skymend.models.card import InputSpec, OutputSpec, Scaling
from skymend.models.registry import COARSE_BANDS

Kind = Literal["optical", "radar", "dem", "days"]

SCALINGS: dict[Kind, Scaling] = {
    "optical": Scaling(kind="linear", low=0.0, high=1.0),
    "radar": Scaling(kind="db", low=-30.0, high=5.0),
    "dem": Scaling(kind="linear", low=0.0, high=10_000.0),
    "days": Scaling(kind="linear", low=0.0, high=100.0),
}
"""Reflectance as it is, backscatter -30 .. 5 dB, heights as in decloud.md section 11."""

_FILLS: dict[Kind, float] = {"optical": -1.0, "radar": 0.0, "dem": 0.0, "days": 1.0}


def input_specs(spec: UNetSpec, bands: Mapping[str, tuple[str, ...]]) -> tuple[InputSpec, ...]:
    """Describe the inputs of an architecture.

    Parameters
    ----------
    bands : input -> band names; those of ``dem`` and ``days`` are known.

    Raises
    ------
    ConfigError
        if an input has another number of bands than the architecture.
    """
    return tuple(_input(spec, name, width, bands) for name, width in spec.channels)


def output_specs(
    spec: UNetSpec, bands: tuple[str, ...], uncertainty: bool
) -> tuple[OutputSpec, ...]:
    """Describe the outputs of an architecture with these 10 m bands."""
    outputs = []
    for name in spec.outputs(uncertainty):
        coarse = name.startswith("s2_20m")
        outputs.append(
            OutputSpec(
                name=name,
                quantity="sigma" if name.endswith("_sigma") else "mean",
                bands=COARSE_BANDS if coarse else bands,
                resolution_ratio=2 if coarse else 1,
            )
        )
    return tuple(outputs)


def kind_of(name: str) -> Kind:
    """Return the kind of an input from its name (``s2_tm1`` is optical)."""
    prefixes: dict[str, Kind] = {"s1_": "radar", "s2_": "optical", "days_": "days"}
    return next((kind for prefix, kind in prefixes.items() if name.startswith(prefix)), "dem")


def _input(
    spec: UNetSpec, name: str, width: int, bands: Mapping[str, tuple[str, ...]]
) -> InputSpec:
    kind = kind_of(name)
    names = {"dem": ("height",), "days": ("days",)}.get(kind) or bands.get(name, ())
    if len(names) != width:
        raise ConfigError(
            where=f"input {name}",
            expected=f"{width} bands for this architecture",
            found=", ".join(names) or "none",
            fix="choose an architecture for these bands, or a layout that has this input",
        )
    # A net that flags missing values itself must be able to tell them from dark radar.
    fill = -1.0 if spec.missing is not None and kind == "radar" else _FILLS[kind]
    return InputSpec(
        name=name,
        acquisition="" if kind == "dem" else name.rsplit("_", 1)[1],
        kind=kind,
        bands=names,
        scaling=SCALINGS[kind],
        resolution_ratio=2 if kind == "dem" or "_20m_" in name else 1,
        fill=fill,
    )
