"""Plans in words: what would run, why a job is in the plan, what it will cost."""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from skymend.core.errors import ConfigError
from skymend.core.plan import PRODUCT_PREFIX, Job, Plan
from skymend.core.step import REGISTRY
from skymend.core.store import Store
from skymend.core.task import load_task
from skymend.steps import load, load_all


def difference(plan: Plan, store: Store, *, detailed: bool, as_json: bool) -> str:
    """Tell which jobs a run would execute, and which are done already."""
    waiting = _waiting(plan, store)
    done = len(plan.jobs) - len(waiting)
    by_step = Counter(job.step for job in waiting)
    if as_json:
        document = {
            "plan": plan.name,
            "jobs": len(plan.jobs),
            "done": done,
            "to_run": len(waiting),
            "by_step": dict(sorted(by_step.items())),
            "notes": list(plan.notes),
        }
        return json.dumps(document)
    lines = [f"{plan.name}: {len(plan.jobs)} jobs, {done} done, {len(waiting)} to run"]
    lines += [f"  {count:5d}  {step}" for step, count in sorted(by_step.items())]
    lines += [f"  note: {note}" for note in plan.notes]
    if detailed:
        lines += [f"  + {job.label}  {job.folder}" for job in waiting]
    return "\n".join(lines)


def _waiting(plan: Plan, store: Store) -> list[Job]:
    known = store.known((job.step, job.key) for job in plan.jobs)
    return [job for job in plan.jobs if job.key not in known]


def jobs(plan: Plan) -> str:
    """List every job: first digits of its key, label, folder."""
    return "\n".join(f"{job.key[:8]}  {job.label:40s}  {job.folder}" for job in plan.jobs)


def why(plan: Plan, store: Store, question: str) -> str:
    """Explain a job, named by key or by a path it makes: parameters, inputs, users, state."""
    job = _find(plan, store, question)
    record = store.record(job.step, job.key)
    state = "not run yet"
    if record is not None:
        state = record.status + (f" ({record.reason})" if record.reason else "")
    lines = [f"{job.label}  {job.key}", f"  state: {state}", f"  folder: {job.folder}"]
    lines += [f"  {name} = {json.dumps(value)}" for name, value in sorted(job.params.items())]
    for name, refs in sorted(job.inputs.items()):
        lines += [f"  input {name}: {_describe(plan, ref)}" for ref in refs]
    users = [other.label for other in plan.jobs if job.key in other.upstream()]
    lines += [f"  needed by: {user}" for user in users]
    if job.key in plan.targets:
        lines.append("  needed by: the region itself")
    return "\n".join(lines)


def _find(plan: Plan, store: Store, question: str) -> Job:
    path = question.removeprefix(f"{store.uri}/").removeprefix(f"{store.root}/")
    for job in plan.jobs:
        if path == job.folder or path.startswith(f"{job.folder}/"):
            return job
    return plan.job(question)


def _describe(plan: Plan, ref: str) -> str:
    if ref.startswith(PRODUCT_PREFIX):
        product = plan.products[ref]
        return f"{product.kind} {product.id}"
    job = plan.by_key[ref]
    return f"{job.label} {job.key[:8]}"


def estimate(plan: Plan, store: Store) -> str:
    """Estimate the time of what is left, from the records of earlier jobs of each step."""
    waiting = _waiting(plan, store)
    seconds = _median_seconds(store)
    total = 0.0
    unknown = set()
    for job in waiting:
        if job.step in seconds:
            total += seconds[job.step] * load_task(job.step).cpus
        else:
            unknown.add(job.step)
    known = sum(job.step not in unknown for job in waiting)
    time = f"about {total / 60:.1f} core-minutes for {known} of them" if known else "time unknown"
    lines = [
        f"{plan.name}: {len(waiting)} jobs to run, {time}",
        f"  largest job: {max((load_task(j.step).memory_gb for j in waiting), default=0):g} GB",
    ]
    if unknown:
        lines.append(f"  no earlier run to judge by: {', '.join(sorted(unknown))}")
    return "\n".join(lines)


def _median_seconds(store: Store) -> dict[str, float]:
    times: dict[str, list[float]] = defaultdict(list)
    for record in store.records():
        if record.status == "done" and record.adopted_from is None:
            times[record.step].append(record.seconds)
    return {step: statistics.median(values) for step, values in times.items()}


def steps() -> str:
    """List the steps, a line each."""
    load_all()
    return "\n".join(f"{step.name:14s} v{step.version}  {step.summary}" for step in REGISTRY)


def step(name: str, *, schema: bool = False) -> str:
    """Describe one step from its declaration."""
    load(name)
    declared = REGISTRY.get(name)
    if schema:
        return json.dumps(declared.params.model_json_schema(), indent=2, sort_keys=True)
    lines = [f"{declared.name}, version {declared.version}", declared.summary, "", "Parameters"]
    lines += list(_fields(declared.params.model_fields.items()))
    lines += ["", "Inputs"]
    lines += [
        f"  {input_name}{' (list)' if many else ''}"
        for input_name, many in declared.input_names().items()
    ]
    lines += ["", "Outputs"]
    lines += [f"  {n}: {file}" for n, file in declared.outputs.names().items()]
    return "\n".join(lines)


def _fields(fields: Iterable[tuple[str, Any]]) -> Iterable[str]:
    for name, info in fields:
        default = "required" if info.is_required() else f"default {info.default!r}"
        yield f"  {name} ({default}) {info.description or ''}".rstrip()


def check_steps(plan: Plan) -> None:
    """Make sure that this installation knows every step of a plan at its version.

    Raises
    ------
    ConfigError
        naming the first step that differs.
    """
    load_all()
    for job in plan.jobs:
        if REGISTRY.get(job.step).version != job.version:
            raise ConfigError(
                where=f"plan {plan.name}, step {job.step}",
                expected=f"version {REGISTRY.get(job.step).version}",
                found=f"version {job.version}",
                fix="plan again with this version of skymend",
            )


def reference(*models: Any) -> str:
    """Return the reference page: every step, then the fields of the given models."""
    load_all()
    lines = ["# Reference", "", "Made by `scripts/reference` from the declarations.", ""]
    for declared in REGISTRY:
        lines += [f"## Step `{declared.name}`, version {declared.version}", "", declared.summary]
        inputs = ", ".join(f"`{n}`{'…' if m else ''}" for n, m in declared.input_names().items())
        outputs = ", ".join(f"`{file}`" for file in declared.outputs.names().values())
        lines += ["", f"Inputs: {inputs}. Outputs: {outputs}.", ""]
        lines += [*_table(declared.params.model_fields.items()), ""]
    for model in _nested(models):
        lines += [f"## `{model.__name__}`", "", (model.__doc__ or "").strip().splitlines()[0], ""]
        lines += [*_table(model.model_fields.items()), ""]
    return "\n".join(lines)


def _table(fields: Iterable[tuple[str, Any]]) -> Iterable[str]:
    rows = list(fields)
    if not rows:
        return ["No parameters."]
    lines = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, info in rows:
        kind = _type_name(info.annotation)
        default = "required" if info.is_required() else f"`{info.get_default()!r}`"
        lines.append(f"| `{name}` | {kind} | {default} | {info.description or ''} |")
    return lines


def _type_name(annotation: Any) -> str:
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    for noise in ("typing.", "skymend.pipelines.region.", "skymend.core.step.", "pathlib."):
        text = text.replace(noise, "")
    return text.replace("|", "or")


def _nested(models: Iterable[Any]) -> list[Any]:
    """Return the models and those their fields hold, each once, in order."""
    found: list[Any] = []
    waiting = list(models)
    while waiting:
        model = waiting.pop(0)
        if model in found:
            continue
        found.append(model)
        for info in model.model_fields.values():
            parts = getattr(info.annotation, "__args__", ()) or (info.annotation,)
            waiting += [p for p in parts if hasattr(p, "model_fields")]
    return found
