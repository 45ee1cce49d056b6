"""Steps: pure functions from files to files, declared once.

A step knows no orchestrator. From its one declaration come the job that runs it, its CLI
command and its page in the reference.

>>> class Inputs(StepInputs):
...     scene: Artifact
>>> class Params(StepParams):
...     dilate_m: float = Field(60.0, ge=0, description="Dilation in metres.")
>>> class Outputs(StepOutputs):
...     mask: str = "mask.tif"
>>> @step("mask", version=1, inputs=Inputs, params=Params, outputs=Outputs)
... def run(inputs, params, out, context):
...     ...
...     return {"clear_share": 0.8}
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from skymend.core.errors import ConfigError, InternalError
from skymend.core.grid import Grid

Facts: TypeAlias = Mapping[str, Any]
"""Small JSON values a step found out; they go into the record, never into a key."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)


class StepParams(_Frozen):
    """Base of step parameters; units belong into the field name (``window_days``)."""


class StepOutputs(_Frozen):
    """Base of step outputs: one field per file, its default the file name.

    A field of type ``str`` must be written by the step; ``str | None`` may be left out.
    A name that ends in ``/`` is a folder.
    """

    @classmethod
    def names(cls) -> dict[str, str]:
        """Return field name -> file name."""
        return {name: str(info.default) for name, info in cls.model_fields.items()}

    @classmethod
    def optional(cls) -> frozenset[str]:
        """Return the fields that a run may leave out."""
        return frozenset(n for n, f in cls.model_fields.items() if f.annotation is not str)


class GridParams(_Frozen):
    """A grid as a parameter of a step."""

    crs: str
    transform: tuple[float, float, float, float, float, float]
    shape: tuple[int, int]

    @property
    def grid(self) -> Grid:
        """The grid itself."""
        return Grid(self.crs, self.transform, self.shape)

    @classmethod
    def of(cls, grid: Grid) -> GridParams:
        """Wrap a grid."""
        return cls(crs=grid.crs, transform=grid.transform, shape=grid.shape)


class Artifact(_Frozen):
    """One input of a job at run time: a product, or what an earlier job left.

    ``files`` maps output names to existing files (a product has the one name ``product``).
    ``tags`` hold what the plan knows of it: ``id``, ``tile``, ``datetime`` (ISO 8601, UTC),
    ``sensor``, ``kind``, ``relative_orbit``, ... ``absent`` is the reason why the job that
    should have made it was skipped; then ``files`` is empty.
    """

    key: str
    step: str
    tags: dict[str, str] = Field(default_factory=dict)
    files: dict[str, Path] = Field(default_factory=dict)
    facts: dict[str, Any] = Field(default_factory=dict)
    absent: str | None = None

    def file(self, name: str) -> Path:
        """Return the path of one output.

        Raises
        ------
        InternalError
            if the artifact is absent or has no such output.
        """
        if name not in self.files:
            raise InternalError(
                where=f"{self.step} {self.key[:8]}",
                expected=f"an output named {name}",
                found=self.absent or ", ".join(sorted(self.files)),
                fix="ask only for outputs of artifacts that are present",
            )
        return self.files[name]

    @property
    def product(self) -> Path:
        """What a reader opens: the product itself, where a job fetched it or where it lay.

        Raises
        ------
        InternalError
            if the artifact is neither a product nor fetched.
        """
        path = self.file("product")
        if self.step != "fetch":
            return path
        # Images of a STAC item lie in a folder beside it; the reader wants the item.
        is_item = self.tags.get("kind") == "stac"
        entries = sorted(e for e in path.iterdir() if (e.suffix == ".json") == is_item)
        if len(entries) != 1:
            raise InternalError(
                where=path,
                expected="one fetched product",
                found=f"{len(entries)} entries",
                fix="mend the provider",
            )
        return entries[0]

    def has(self, name: str) -> bool:
        """Tell whether the output is there."""
        return name in self.files

    @property
    def time(self) -> datetime:
        """Acquisition time, timezone-aware UTC."""
        return datetime.fromisoformat(self.tags["datetime"])

    @property
    def date(self) -> str:
        """Acquisition date as ``YYYYMMDD``."""
        return self.time.strftime("%Y%m%d")


class StepInputs(_Frozen):
    """Base of step inputs.

    Fields are ``Artifact`` (required and present), ``Artifact | None`` (may be missing or
    absent) or ``tuple[Artifact, ...]`` (a list whose members may be absent).
    """


@dataclass(frozen=True, slots=True)
class Context:
    """What a running step may know of its surroundings.

    ``final`` is where the outputs will lie once the job is done (for relative links).
    ``work`` is a private folder that survives a killed run of the same job: a step may
    leave checkpoints there. ``progress`` takes the share done, 0..1, and a short text.
    """

    cpus: int
    work: Path
    final: Path
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("skymend.step"))
    progress: Callable[[float, str], None] = lambda share, text: None


RunFunction: TypeAlias = Callable[[Any, Any, Path, Context], Facts]


@dataclass(frozen=True, slots=True)
class Step:
    """One declared step."""

    name: str
    version: int
    summary: str
    inputs: type[StepInputs]
    params: type[StepParams]
    outputs: type[StepOutputs]
    run: RunFunction
    adoptable: bool = True

    def input_names(self) -> dict[str, bool]:
        """Return input name -> True where it takes a list."""
        return {
            name: "tuple" in str(info.annotation) for name, info in self.inputs.model_fields.items()
        }


class Registry:
    """The steps known to this process, by name."""

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps[name] for name in sorted(self._steps))

    def add(self, declared: Step) -> None:
        """Register a step; a name can be taken once."""
        known = self._steps.get(declared.name)
        if known is not None and known.run.__module__ != declared.run.__module__:
            raise InternalError(
                where=f"step {declared.name}",
                expected="a name that is free",
                found=f"a second declaration in {declared.run.__module__}",
                fix="rename one of the two",
            )
        self._steps[declared.name] = declared

    def get(self, name: str) -> Step:
        """Return a step by name."""
        try:
            return self._steps[name]
        except KeyError:
            raise ConfigError(
                where=f"step {name!r}",
                expected=f"one of {', '.join(sorted(self._steps))}",
                found="an unknown name",
                fix="see `skymend step --help`",
            ) from None


REGISTRY = Registry()


def step(
    name: str,
    *,
    version: int,
    inputs: type[StepInputs],
    params: type[StepParams],
    outputs: type[StepOutputs],
    adoptable: bool = True,
) -> Callable[[RunFunction], RunFunction]:
    """Declare a function as a step.

    Parameters
    ----------
    name : unique, kebab-case.
    version : raised whenever results change; it is part of every key.
    inputs, params, outputs : the typed contract.
    adoptable : False where the result depends on where inputs lie (relative links), so that
        a job with other inputs of the same content must not take it over.

    Returns
    -------
    A decorator for ``run(inputs, params, out, context) -> facts``. ``out`` is an empty
    folder into which exactly the declared outputs are written. Facts are small JSON values.
    The first sentence of the module's docstring becomes the summary.
    """

    def register(function: RunFunction) -> RunFunction:
        module = sys.modules[function.__module__]
        text = (function.__doc__ or module.__doc__ or name).strip()
        summary = text.splitlines()[0]
        REGISTRY.add(Step(name, version, summary, inputs, params, outputs, function, adoptable))
        return function

    return register
