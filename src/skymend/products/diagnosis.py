"""``skymend doctor``: what a path is, or why no reader takes it."""

from __future__ import annotations

from pathlib import Path

from skymend.products.detection import detect


def diagnose(path: Path) -> tuple[str, bool]:
    """Return a description of a path in one or more lines, and whether a reader takes it.

    A folder that is no product itself is looked into, one level deep.
    """
    found = detect(path)
    if found.kind is not None:
        return f"{path}: {found.kind}", True
    inside = sorted(path.iterdir()) if path.is_dir() else []
    kinds = [kind for kind in (detect(p).kind for p in inside) if kind is not None]
    if kinds:
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        return f"{path}: a folder with {counts}", True
    reasons = [f"  {name}: {reason}" for name, reason in found.refusals.items()]
    return "\n".join([f"{path}: no reader takes it", *reasons]), False
