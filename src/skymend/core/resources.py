"""The folders that users copy and edit: found in the wheel or in the checkout."""

from __future__ import annotations

from pathlib import Path

from skymend.core.errors import InternalError
from skymend.core.files import write_text

FOLDERS = ("config", "snap-graphs", "tasks", "workflows")
"""The folders that travel in the wheel."""

_PACKAGE = Path(__file__).resolve().parents[1]


def path(folder: str, *parts: str) -> Path:
    """Return where one of the data folders, or something in it, lies.

    Parameters
    ----------
    folder : one of :data:`FOLDERS`.
    parts : names below it; they need not exist.

    Returns
    -------
    ``skymend/_data/<folder>`` of an installed wheel, else ``<checkout>/<folder>``.

    Raises
    ------
    InternalError
        if the folder is in neither place.

    Examples
    --------
    >>> path("tasks", "optical.yaml").name
    'optical.yaml'
    """
    for root in roots():
        if folder in FOLDERS and (root / folder).is_dir():
            return (root / folder).joinpath(*parts)
    raise InternalError(
        where=folder,
        expected=f"one of the data folders {', '.join(FOLDERS)}",
        found=f"none of that name in {' or '.join(map(str, roots()))}",
        fix="install skymend again, from its wheel or with `make install` in a checkout",
    )


def roots() -> tuple[Path, ...]:
    """Return the folders searched, in order: the wheel's data, then the checkout."""
    checkout = _PACKAGE.parents[1]
    wheel = _PACKAGE / "_data"
    return (wheel, checkout) if (checkout / "pyproject.toml").is_file() else (wheel,)


def copy_out(folder: Path) -> list[Path]:
    """Copy the data folders out for editing; files that are already there are kept.

    Parameters
    ----------
    folder : created if missing.

    Returns
    -------
    The files written.
    """
    written = []
    for name in FOLDERS:
        source = next((root / name for root in roots() if (root / name).is_dir()), None)
        for file in sorted(source.rglob("*")) if source else []:
            target = folder / name / file.relative_to(source or file)
            if file.is_file() and "__pycache__" not in file.parts and not target.exists():
                write_text(target, file.read_text(encoding="utf-8"))
                written.append(target)
    return written
