"""Fetch one product from its provider, verified."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from skymend.core.errors import ProductError
from skymend.core.step import (
    Artifact,
    Context,
    Facts,
    StepInputs,
    StepOutputs,
    StepParams,
    step,
)

if TYPE_CHECKING:
    from skymend.sources.protocol import Settings
    from skymend.sources.transfer import Receipt

_FOLDERS = frozenset({"safe-l2a", "safe-l1c", "theia"})
"""Kinds whose readers take folders, never archives."""


class Inputs(StepInputs):
    """What a catalogue knows of the product."""

    product: Artifact = Field(description="A product of a provider's catalogue.")


class Params(StepParams):
    """How much of it."""

    assets: tuple[str, ...] = Field((), description="Bands or assets; the whole product if none.")


class Outputs(StepOutputs):
    """The product as the provider delivers it; archives of folders are unpacked."""

    product: str = "product/"


@step("fetch", version=1, inputs=Inputs, params=Params, outputs=Outputs)
def run(inputs: Inputs, params: Params, out: Path, context: Context) -> Facts:
    """Fetch one product from its provider, verified.

    A killed download goes on where it stopped. Facts: ``files``, and for each its size and how
    it was verified (``md5``, ``manifest``, ``crc``, ..., or ``size`` where the provider
    publishes nothing better); ``notice`` where the licence demands one.
    """
    import pystac

    from skymend.sources.downloads import fetch_item, logged
    from skymend.sources.protocol import Settings
    from skymend.sources.registry import open_source

    order = inputs.product.facts
    settings = Settings(endpoints=order["endpoints"])
    folder = context.work / "product"
    kind = inputs.product.tags.get("kind")
    notice = ""
    if kind == "eof":
        receipts: tuple[Receipt, ...] = (
            _orbit(order, inputs.product.tags["id"], settings, folder),
        )
    else:
        item = pystac.Item.from_dict(order["item"], preserve_dict=True)
        source = open_source(order["provider"], settings)
        receipts = fetch_item(source, item, params.assets, folder, logged(context.log))
        notice = str(item.properties.get("skymend:derived_notice", ""))
        _unpack(folder, kind)
    folder.rename(out / Outputs().product.rstrip("/"))
    return {
        "provider": order["provider"],
        "files": {r.path.name: {"bytes": r.bytes, "verified": r.verified} for r in receipts},
        "notice": notice,
    }


def _orbit(order: Mapping[str, Any], name: str, settings: Settings, folder: Path) -> Receipt:
    """Fetch the orbit file that the plan names.

    Raises
    ------
    ProductError
        if the provider has another one by now.
    """
    from skymend.sources import orbits

    scene = orbits.Scene.of_name(order["scene"])
    receipt = orbits.fetch(scene, settings, folder, providers=(order["provider"],))
    if receipt is None or receipt.path.name != name:
        raise ProductError(
            where=f"orbit file {name}",
            expected="the file that the plan names",
            found="none" if receipt is None else f"its successor {receipt.path.name}",
            fix="plan again with --refresh",
        )
    return receipt


def _unpack(folder: Path, kind: str | None) -> None:
    """Replace the archive of a product whose reader takes folders by what it holds."""
    from skymend.sources.archives import extract

    archives = list(folder.glob("*.zip"))
    if kind not in _FOLDERS or not archives:
        return
    for archive in archives:
        extract(archive, folder)
        archive.unlink()
