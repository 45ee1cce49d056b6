"""Reading XML that may be damaged or hostile: every fault becomes one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from skymend.core.errors import ProductError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Node:
    """An XML element that knows which file it stands in.

    Parameters
    ----------
    element : the element; tags are compared without their namespaces.
    where : the file, for errors.
    """

    element: Element
    where: str

    @property
    def tag(self) -> str:
        """Name without namespace."""
        return _local(self.element.tag)

    @property
    def content(self) -> str:
        """Text of the element itself, without blanks at its ends."""
        return (self.element.text or "").strip()

    def attribute(self, name: str) -> str:
        """Return an attribute, empty if it is absent."""
        return self.element.attrib.get(name, "")

    def children(self, tag: str) -> Iterator[Node]:
        """Yield direct children of a name."""
        for child in self.element:
            if _local(child.tag) == tag:
                yield Node(child, self.where)

    def each(self, tag: str) -> Iterator[Node]:
        """Yield descendants of a name, in document order."""
        for element in self.element.iter():
            if _local(element.tag) == tag:
                yield Node(element, self.where)

    def find(self, path: str) -> Node | None:
        """Return the first element down a path such as ``a/b``, None if absent."""
        here: Node | None = self
        for tag in path.split("/"):
            here = next(here.children(tag), None) if here is not None else None
        return here

    def get(self, path: str) -> Node:
        """Return the first element down a path.

        Raises
        ------
        ProductError
            if it is absent.
        """
        found = self.find(path)
        if found is None:
            raise self.error(f"an element {path} in <{self.tag}>", "none")
        return found

    def text(self, path: str) -> str:
        """Return the text down a path; it must not be empty."""
        text = self.get(path).content
        if not text:
            raise self.error(f"text in {path}", "nothing")
        return text

    def number(self, path: str) -> float:
        """Return a finite number."""
        return self._number(path, self.text(path))

    def whole(self, path: str, *, low: int = 0, high: int = 2**31 - 1) -> int:
        """Return a whole number between two limits, both included."""
        value = self.number(path)
        if value != int(value) or not low <= value <= high:
            raise self.error(f"a whole number from {low} to {high} in {path}", f"{value:g}")
        return int(value)

    def numbers(self, path: str) -> Doubles:
        """Return the blank-separated finite numbers down a path; none for an empty element."""
        text = self.get(path).content
        try:
            values = np.array(text.split(), np.float64)
        except ValueError:
            raise self.error(f"numbers in {path}", repr(text[:40])) from None
        if not np.isfinite(values).all():
            raise self.error(f"finite numbers in {path}", "nan or infinity")
        return values

    def time(self, path: str) -> datetime:
        """Return a time in UTC, read from ``2021-12-23T05:11:22.594441`` or ``UTC=...``."""
        text = self.text(path)
        plain = text.removeprefix("UTC=").removesuffix("Z")
        try:
            moment = datetime.fromisoformat(plain)
        except ValueError:
            raise self.error(f"a time in {path}", repr(text[:40])) from None
        if moment.tzinfo is not None or not 2000 <= moment.year <= 2100:
            raise self.error(f"a plausible UTC time in {path}", repr(text[:40]))
        return moment.replace(tzinfo=UTC)

    def error(self, expected: str, found: str) -> ProductError:
        """Return an error about this file."""
        return ProductError(
            where=self.where, expected=expected, found=found, fix="fetch the product again"
        )

    def _number(self, path: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(f"a finite number in {path}", repr(text[:40]))
        return value


def parse_xml(content: bytes, where: str) -> Node:
    """Parse an XML document.

    Raises
    ------
    ProductError
        if it is not well-formed, not UTF-8, or declares a document type or entities.
    """
    from xml.etree.ElementTree import ParseError, fromstring

    def refuse(expected: str, found: str) -> ProductError:
        return ProductError(
            where=where, expected=expected, found=found, fix="fetch the product again"
        )

    # Entities are how an XML file can blow up memory or reach other files; SAFE needs none. With
    # UTF-16 the declaration would hide from this test.
    if b"\0" in content[:256] or content[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raise refuse("XML in UTF-8", "another encoding")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise refuse("plain XML", "a document type or entities")
    try:
        return Node(fromstring(content), where)
    except (ParseError, LookupError, ValueError) as error:
        raise refuse("well-formed XML", str(error)[:120]) from error


def _local(tag: object) -> str:
    return str(tag).rpartition("}")[2]


def seconds_since(epoch: datetime, moment: datetime) -> float:
    """Return seconds from one UTC time to another, exact to the microsecond."""
    return (moment - epoch).total_seconds()


def increasing(values: Doubles) -> bool:
    """Tell whether numbers rise strictly."""
    return bool((np.diff(values) > 0).all())
