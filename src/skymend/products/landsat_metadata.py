"""The metadata file of a Landsat product: ``MTL.txt``, ``MTL.json`` or ``MTL.xml``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from skymend.core.errors import ProductError
from skymend.products.safe import parse_metadata

_MAX_BYTES = 5_000_000
_LINE = re.compile(r"\s*(\w+)\s*=\s*(.*?)\s*$")

Groups = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Metadata:
    """The metadata of one product, by group and field.

    Collection 1 and 2 name their groups differently, and level-2 files repeat fields of level
    1 with other values in groups of their own; so a field is looked up at a level.
    """

    path: Path
    groups: Groups

    @classmethod
    def of(cls, folder: Path) -> Metadata:
        """Read the metadata file of a product folder.

        Raises
        ------
        ProductError
            if there is none, or it is damaged.
        """
        for suffix, read in ((".txt", _read_text), (".json", _read_json), (".xml", _read_xml)):
            for path in sorted(folder.glob(f"*_MTL{suffix}")):
                if path.stat().st_size > _MAX_BYTES:
                    raise _damaged(path, f"{path.stat().st_size} bytes")
                return cls(path, read(path))
        raise ProductError(
            where=folder,
            expected="a metadata file *_MTL.txt, .json or .xml",
            found="none",
            fix="fetch the product again",
        )

    def text(self, field: str, *, level: int = 1) -> str | None:
        """Return a field, None if it is absent."""
        for name, group in self.groups.items():
            if ("LEVEL2" in name) == (level == 2) and field in group:
                return group[field]
        return None

    def number(self, field: str, *, level: int = 1) -> float:
        """Return a number.

        Raises
        ------
        ProductError
            if the field is absent or no number.
        """
        text = self.text(field, level=level)
        try:
            return float(text or "")
        except ValueError:
            raise ProductError(
                where=self.path,
                expected=f"a number in {field}",
                found="no such field" if text is None else repr(text[:40]),
                fix="fetch the product again",
            ) from None

    @property
    def time(self) -> datetime:
        """Time of the scene's centre, UTC."""
        day, clock = self.text("DATE_ACQUIRED"), self.text("SCENE_CENTER_TIME")
        try:
            return datetime.fromisoformat(f"{day}T{(clock or '').rstrip('Z')}+00:00")
        except ValueError:
            raise _damaged(self.path, f"the time {day} {clock}") from None


def _read_text(path: Path) -> Groups:
    groups: dict[str, dict[str, str]] = {}
    stack = [""]
    for line in path.read_text("utf-8", errors="replace").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        key, value = match.groups()
        if key == "GROUP":
            stack.append(value)
        elif key == "END_GROUP":
            if len(stack) > 1:
                stack.pop()
        else:
            groups.setdefault(stack[-1], {})[key] = value.strip('"')
    return groups


def _read_json(path: Path) -> Groups:
    try:
        document = json.loads(path.read_text("utf-8"))
        ((_, groups),) = document.items()
        return {str(n): {str(k): str(v) for k, v in g.items()} for n, g in groups.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise _damaged(path, str(error)) from error


def _read_xml(path: Path) -> Groups:
    return dict(_xml_groups(path))


def _xml_groups(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    for group in parse_metadata(path):
        yield group.tag, {field.tag: (field.text or "").strip() for field in group}


def _damaged(path: Path, found: str) -> ProductError:
    return ProductError(
        where=path,
        expected="Landsat metadata",
        found=found[:160],
        fix="fetch the product again",
    )
