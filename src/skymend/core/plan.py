"""Plans: the whole DAG of jobs with their keys and output paths, as one JSON file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from skymend.core.errors import ConfigError, InternalError
from skymend.core.files import write_text
from skymend.core.keys import canonical_json, digest, job_key
from skymend.core.product import Product, RemoteProduct
from skymend.core.step import REGISTRY, StepParams

PLAN_VERSION = 1
PRODUCT_PREFIX = "product:"
_PARTS = ("pipeline", "name", "jobs", "products", "targets", "notes", "summary")


@dataclass(frozen=True, slots=True)
class Job:
    """One step with concrete inputs and parameters.

    ``inputs`` maps input names to job keys, or to identities of products
    (``product:<sha256>``). ``folder`` is relative to the store.
    """

    key: str
    step: str
    version: int
    params: dict[str, Any]
    inputs: dict[str, list[str]]
    tags: dict[str, str]
    folder: str
    outputs: dict[str, str]

    def upstream(self) -> list[str]:
        """Keys of the jobs this one waits for, each once, in order."""
        refs = (r for name in sorted(self.inputs) for r in self.inputs[name])
        return list(dict.fromkeys(r for r in refs if not r.startswith(PRODUCT_PREFIX)))

    @property
    def label(self) -> str:
        """Step, tile and date, for people."""
        return " ".join(x for x in (self.step, self.tags.get("tile"), self.tags.get("date")) if x)


@dataclass(frozen=True, slots=True)
class FrozenFile:
    """One file of a product as it was when the plan was written.

    ``path`` is an address for a remote product; ``checksum`` is the sha256 of a file on disk,
    ``algorithm:hex`` of a remote one, and empty where its provider publishes none.
    """

    path: str
    size: int
    checksum: str


@dataclass(frozen=True, slots=True)
class FrozenProduct:
    """A product as the snapshot froze it; its identity is the hash of what it is, not where.

    ``order`` is set for a product that a job still has to fetch: provider, endpoints,
    collection and item. It does not enter the identity.
    """

    id: str
    kind: str
    path: str
    tags: dict[str, str]
    files: tuple[FrozenFile, ...]
    order: dict[str, Any] | None = None

    @property
    def identity(self) -> str:
        """``product:`` and the sha256 of id, kind, tags and file checksums."""
        parts = [self.id, self.kind, self.tags, sorted(f.checksum for f in self.files)]
        return PRODUCT_PREFIX + digest(parts)

    @classmethod
    def of(cls, product: Product, files: Iterable[FrozenFile]) -> FrozenProduct:
        """Freeze a product that a search found on disk."""
        return cls(product.id, product.kind, str(product.path), _tags(product), tuple(files))

    @classmethod
    def of_remote(cls, product: RemoteProduct) -> FrozenProduct:
        """Freeze a product that a search found at a provider."""
        files = tuple(FrozenFile(f.url, f.size, f.digest) for f in product.files)
        path = product.files[0].url if product.files else ""
        return cls(product.id, product.kind, path, _tags(product), files, product.order)


def _tags(product: Product | RemoteProduct) -> dict[str, str]:
    return {
        **product.tags,
        "id": product.id,
        "kind": product.kind,
        "datetime": product.time.isoformat(),
    }


@dataclass(frozen=True)
class Plan:
    """A deterministic list of jobs, each after its inputs.

    ``targets`` are the keys the region asks for; ``notes`` say in sentences what the
    planner decided (no SAR found, dates rejected, ...).
    """

    pipeline: str
    name: str
    jobs: tuple[Job, ...]
    products: dict[str, FrozenProduct]
    targets: tuple[str, ...]
    notes: tuple[str, ...] = ()
    summary: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def by_key(self) -> dict[str, Job]:
        """Jobs by key."""
        return {job.key: job for job in self.jobs}

    @cached_property
    def digest(self) -> str:
        """sha256 over the keys of all jobs: what this plan computes."""
        return digest([job.key for job in self.jobs])

    def job(self, key: str) -> Job:
        """Return a job by key, or by its first digits."""
        if key in self.by_key:
            return self.by_key[key]
        found = [k for k in self.by_key if k.startswith(key)] if len(key) >= 8 else []
        if len(found) == 1:
            return self.by_key[found[0]]
        raise ConfigError(
            where=f"job {key!r}",
            expected="the key of one job of the plan (8 digits or more)",
            found=f"{len(found)} matches",
            fix="list the keys with `skymend plan REGION --jobs`",
        )

    def as_text(self) -> str:
        """Return the plan as its one JSON text."""
        document = {
            "skymend-plan": PLAN_VERSION,
            "pipeline": self.pipeline,
            "name": self.name,
            "notes": list(self.notes),
            "summary": self.summary,
            "targets": list(self.targets),
            "products": {k: asdict(p) for k, p in sorted(self.products.items())},
            "jobs": [asdict(job) for job in self.jobs],
        }
        return canonical_json(document) + "\n"

    def write(self, path: Path) -> None:
        """Write the plan."""
        write_text(path, self.as_text())

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Read a plan.

        Raises
        ------
        ConfigError
            if the file is no plan of this version.
        """
        try:
            document = from_json(path.read_bytes(), allow_inf_nan=False)
            if document["skymend-plan"] != PLAN_VERSION:
                raise ValueError(f"version {document['skymend-plan']}")
            parts = {key: document[key] for key in _PARTS}
            return TypeAdapter(cls).validate_python(parts)
        except ValidationError as error:
            raise _no_plan(path, first_fault(error)) from error
        except OSError as error:
            raise _no_plan(path, f"{error.strerror or error}".lower()) from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _no_plan(path, f"{type(error).__name__}: {error}") from error


def first_fault(error: ValidationError) -> str:
    """Say what is wrong first with a document: the field, and why."""
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def _no_plan(path: Path, found: str) -> ConfigError:
    return ConfigError(
        where=path,
        expected=f"a skymend plan, version {PLAN_VERSION}",
        found=found,
        fix="write it again with `skymend plan`",
    )


class PlanBuilder:
    """Collects jobs; equal jobs are kept once."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._products: dict[str, FrozenProduct] = {}

    def product(self, product: FrozenProduct) -> str:
        """Add a product and return its identity."""
        identity = product.identity
        self._products[identity] = product
        return identity

    def add(
        self,
        step_name: str,
        params: StepParams | Mapping[str, Any],
        inputs: Mapping[str, str | Sequence[str] | None],
        tags: Mapping[str, str],
    ) -> str:
        """Add a job and return its key.

        Parameters
        ----------
        step_name : a registered step.
        params : its parameters, validated here.
        inputs : for each input one key, several, or None.
        tags : ``tile``, ``date``, ``datetime``, ``id``, ...; ``tile`` and ``date`` name the folder.
        """
        declared = REGISTRY.get(step_name)
        try:
            model = params if isinstance(params, StepParams) else declared.params(**params)
        except ValidationError as error:
            raise _params_error(step_name, error) from error
        values = model.model_dump(mode="json")
        refs = {name: _as_list(value) for name, value in sorted(inputs.items())}
        self._check(step_name, refs, declared.input_names())
        named = dict(sorted(tags.items()))
        key = job_key(step_name, declared.version, values, refs, named)
        if key not in self._jobs:
            folder = _folder(step_name, named, key)
            self._jobs[key] = Job(
                key,
                step_name,
                declared.version,
                values,
                refs,
                named,
                folder,
                declared.outputs.names(),
            )
        return key

    def _check(self, step_name: str, refs: dict[str, list[str]], known: dict[str, bool]) -> None:
        for name, keys in refs.items():
            many = known.get(name)
            missing = [k for k in keys if k not in self._jobs and k not in self._products]
            if many is None or (not many and len(keys) > 1) or missing:
                raise InternalError(
                    where=f"step {step_name}, input {name}",
                    expected=f"one of the inputs {sorted(known)} with jobs added before",
                    found=f"{len(keys)} keys, {len(missing)} unknown",
                    fix="mend the pipeline",
                )

    def tags(self, key: str) -> dict[str, str]:
        """Return the tags of a job or product."""
        if key in self._products:
            return self._products[key].tags
        return self._jobs[key].tags

    def build(
        self,
        pipeline: str,
        name: str,
        targets: Sequence[str],
        *,
        notes: Sequence[str] = (),
        summary: Mapping[str, Any] | None = None,
    ) -> Plan:
        """Return the plan of all jobs the targets need, in the order they were added."""
        needed = self._needed(targets)
        jobs = tuple(job for key, job in self._jobs.items() if key in needed)
        used = {r for job in jobs for refs in job.inputs.values() for r in refs}
        products = {k: p for k, p in self._products.items() if k in used}
        return Plan(
            pipeline, name, jobs, products, tuple(targets), tuple(notes), dict(summary or {})
        )

    def _needed(self, targets: Sequence[str]) -> set[str]:
        needed: set[str] = set()
        waiting = list(targets)
        while waiting:
            key = waiting.pop()
            if key not in needed:
                needed.add(key)
                waiting.extend(self._jobs[key].upstream())
        return needed


def _as_list(value: str | Sequence[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def _folder(step_name: str, tags: Mapping[str, str], key: str) -> str:
    tile = tags.get("tile", "any")
    parts = ["scenes", tile, tags["date"]] if "date" in tags else ["regional", tile]
    return "/".join([*parts, f"{step_name}-{key[:8]}"])


def _params_error(step_name: str, error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    field_name = ".".join(str(part) for part in first["loc"])
    return ConfigError(
        where=f"{step_name}.{field_name}",
        expected=first["msg"],
        found=repr(first.get("input"))[:120],
        fix="see `skymend step " + step_name + " --help`",
    )
