"""XML of product metadata: built as a tree, written the same way every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from skymend.core.files import store_errors

Node = ElementTree.Element


def node(tag: str, *content: Node | str | float, **attributes: str | float) -> Node:
    """Return an element with children or text.

    Parameters
    ----------
    tag : name, with its prefix if it has one; prefixes are declared as plain attributes.
    content : child elements, or one text or number.
    attributes : numbers are written as Python prints them.
    """
    element = ElementTree.Element(tag, {name: str(v) for name, v in attributes.items()})
    for part in content:
        if isinstance(part, ElementTree.Element):
            element.append(part)
        else:
            element.text = str(part)
    return element


def with_attributes(element: Node, attributes: Mapping[str, str]) -> Node:
    """Set attributes whose names are no Python names, such as ``xmlns:gml``; return the node."""
    for name, value in attributes.items():
        element.set(name, value)
    return element


def listing(tag: str, children: Sequence[Node]) -> Node:
    """Return an element whose ``count`` attribute says how many children it holds."""
    return node(tag, *children, count=len(children))


def text_of(root: Node) -> str:
    """Return the document, indented by two blanks, with its XML declaration."""
    ElementTree.indent(root, "  ")
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def write_xml(path: Path, root: Node) -> None:
    """Write a document, creating its folder.

    Raises
    ------
    StoreError
        if it cannot be written.
    """
    with store_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(root), encoding="utf-8")
