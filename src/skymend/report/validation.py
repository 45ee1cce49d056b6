"""Check STAC documents against the published schemas, without any network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

STAC_VERSION = "1.1.0"
EXTENSIONS = {
    "projection": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "eo": "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    "raster": "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "file": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.1.0/schema.json",
}

_CORE = "https://schemas.stacspec.org/v1.1.0/"
_CORE_FOLDERS = {"catalog": "catalog-spec", "collection": "collection-spec"}
_KINDS = {"Feature": "item", "Collection": "collection", "Catalog": "catalog"}
_PROJJSON = "https://proj.org/schemas/v0.7/projjson.schema.json"


def problems(document: dict[str, Any]) -> list[str]:
    """Return what is wrong with a STAC item, collection or catalogue.

    Parameters
    ----------
    document : a parsed STAC document.

    Returns
    -------
    One line per violation of the core schema or of an extension the document names, with the
    place in the document; empty when it is valid. An extension whose schema is not kept here
    is a problem too: it could not be checked.
    """
    kind = _KINDS.get(str(document.get("type")))
    if kind is None:
        return [f"type: expected one of {', '.join(_KINDS)}, found {document.get('type')!r}"]
    found = _errors(_core_url(kind), document)
    for url in document.get("stac_extensions", ()):
        if url in EXTENSIONS.values():
            found += _errors(url, document)
        else:
            found.append(f"stac_extensions: no schema kept for {url}")
    return found


def _errors(url: str, document: dict[str, Any]) -> list[str]:
    from jsonschema import Draft7Validator, FormatChecker

    validator = Draft7Validator(
        _schemas()[url], registry=_registry(), format_checker=FormatChecker()
    )
    leaves = [leaf for error in validator.iter_errors(document) for leaf in _leaves(error)]
    # alternatives for other kinds of document fail on their type alone: say what else is wrong
    telling = [leaf for leaf in leaves if list(leaf.absolute_path) != ["type"]] or leaves
    places = ("/".join(map(str, leaf.absolute_path)) or "document" for leaf in telling)
    lines = (f"{p}: {_short(leaf.message)}" for p, leaf in zip(places, telling, strict=True))
    return sorted(set(lines))


def _leaves(error: Any) -> Iterator[Any]:
    """Yield the innermost errors below a failed choice between alternatives."""
    if not error.context:
        yield error
    for inner in error.context or ():
        yield from _leaves(inner)


def _short(message: str, limit: int = 240) -> str:
    """Cut the middle out of a message that quotes half the document."""
    half = limit // 2
    return message if len(message) <= limit else f"{message[:half]} ... {message[-half:]}"


def _core_url(name: str) -> str:
    return f"{_CORE}{_CORE_FOLDERS.get(name, 'item-spec')}/json-schema/{name}.json"


@cache
def _schemas() -> dict[str, dict[str, Any]]:
    """Return every kept schema by the address it is published at.

    Two published files name another address in their ``$id``; resolution goes by where they
    are published, so ``$id`` is set to that.
    """
    found = {}
    for path in sorted((files("skymend.report") / "schemas").iterdir(), key=lambda p: p.name):
        if path.name.endswith(".json"):
            url = _published_at(path.name.removesuffix(".json"))
            found[url] = {**json.loads(path.read_text(encoding="utf-8")), "$id": url}
    return found


def _published_at(stem: str) -> str:
    if stem.startswith("core-v1.1.0-"):
        return _core_url(stem.removeprefix("core-v1.1.0-"))
    if stem.startswith("geojson-"):
        return f"https://geojson.org/schema/{stem.removeprefix('geojson-')}.json"
    return EXTENSIONS[stem.split("-v", maxsplit=1)[0]]


@cache
def _registry() -> Any:
    from referencing import Registry
    from referencing.jsonschema import DRAFT7, SchemaRegistry

    # skymend never writes a PROJJSON object; where one is found, nothing is known of it
    contents = {**_schemas(), _PROJJSON: {"not": {}}}
    registry: SchemaRegistry = Registry()
    return registry.with_resources(
        [(url, DRAFT7.create_resource(schema)) for url, schema in contents.items()]
    )
