"""Bundles as a user handles them: list, show, export to an archive, import from one."""

from __future__ import annotations

import shutil
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path

from skymend.core.errors import BundleError
from skymend.core.files import store_errors
from skymend.core.store import open_store
from skymend.models.bundle import (
    CARD,
    MAX_CARD_BYTES,
    MAX_FILE_BYTES,
    ONNX,
    WEIGHTS,
    Bundle,
    load_bundle,
    read_card,
)
from skymend.models.registry import ARCHITECTURES

_MEMBERS = {CARD: MAX_CARD_BYTES, ONNX: MAX_FILE_BYTES, WEIGHTS: MAX_FILE_BYTES}
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ShelfEntry:
    """One bundle of a listing."""

    folder: Path
    name: str
    architecture: str
    parameters: int
    metrics: dict[str, float]


def list_bundles(root: Path) -> list[ShelfEntry]:
    """Find the bundles below a folder, by path; broken ones are left out."""
    entries = []
    for card_path in sorted(root.rglob(CARD)):
        folder = card_path.parent
        if not (folder / ONNX).is_file():
            continue
        try:
            card = read_card(folder)
        except BundleError:
            continue
        entries.append(
            ShelfEntry(folder, card.name, card.architecture, card.parameters, card.metrics)
        )
    return entries


def describe_bundles(root: Path) -> str:
    """List the bundles below a folder, one line each."""
    lines = [
        f"{e.name:<32} {e.architecture:<24} {e.parameters:>12,} parameters  {e.folder}"
        for e in list_bundles(root)
    ]
    return "\n".join(lines) or f"no bundle below {root}"


def describe_store(uri: str) -> str:
    """List the bundles that the jobs of a store trained; those on S3 are brought here first.

    Raises
    ------
    StoreError
        if there is no store.
    """
    store = open_store(uri)
    store.check()
    for record in store.records():
        if record.step == "train" and record.status == "done":
            store.bring(record)
    return describe_bundles(store.root)


def describe_architectures() -> str:
    """List the networks that can be trained, one line each."""
    return "\n".join(
        f"{name:<26} margin {spec.margin:>2} px, stride {spec.stride:>2}, "
        f"inputs {', '.join(key for key, _ in spec.channels)}"
        for name, spec in ARCHITECTURES.items()
    )


def show_bundle(folder: Path) -> str:
    """Describe a bundle in a few lines, after verifying its files.

    Raises
    ------
    BundleError
        if it is damaged.
    """
    bundle = load_bundle(folder)
    card = bundle.card
    lines = [
        f"{card.name}  ({card.architecture}, {card.parameters:,} parameters)",
        f"bundle:sha256:{bundle.hash}",
        f"margin {card.margin} px, stride {card.stride} px, licence {card.licence}",
    ]
    lines += [
        f"  in   {i.name:<10} {i.kind:<8} {','.join(i.bands):<18} "
        f"{i.scaling.kind} {i.scaling.low:g}..{i.scaling.high:g}, nodata {i.fill:g}"
        for i in card.inputs
    ]
    lines += [f"  out  {o.name:<10} {o.quantity:<8} {','.join(o.bands)}" for o in card.outputs]
    lines += [f"  {name} {value:.5g}" for name, value in sorted(card.metrics.items())]
    return "\n".join(lines)


def export_bundle(folder: Path, archive: Path) -> None:
    """Pack a bundle into an uncompressed zip archive; the same bundle gives the same bytes.

    Raises
    ------
    BundleError
        if the bundle is damaged.
    """
    load_bundle(folder)
    partial = archive.with_name(f".{archive.name}.part")
    with store_errors(archive):
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as packed:
            for name in sorted(_MEMBERS):
                member = zipfile.ZipInfo(name)
                member.external_attr = 0o100644 << 16
                with (folder / name).open("rb") as source, packed.open(member, "w") as target:
                    shutil.copyfileobj(source, target, _CHUNK)
        partial.replace(archive)


def import_bundle(archive: Path, folder: Path) -> Bundle:
    """Unpack an archive into a new folder and verify the bundle.

    Only the three plain files of a bundle are accepted, whatever else an archive may hold is
    refused before anything is written.

    Raises
    ------
    BundleError
        if the archive is no bundle, holds anything else, or a file was changed.
    """
    if folder.exists() and any(folder.iterdir()):
        raise BundleError(
            where=folder, expected="a new folder", found="files", fix="choose another folder"
        )
    try:
        with zipfile.ZipFile(archive) as packed:
            _check_members(archive, packed.infolist())
            with store_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
                for name in sorted(_MEMBERS):
                    with packed.open(name) as source, (folder / name).open("wb") as target:
                        shutil.copyfileobj(source, target, _CHUNK)
    except (zipfile.BadZipFile, FileNotFoundError) as error:
        raise BundleError(
            where=archive,
            expected="a bundle archive made by `skymend models export`",
            found=str(error)[:160],
            fix="export the bundle again",
        ) from error
    try:
        return load_bundle(folder)
    except BundleError:
        for name in _MEMBERS:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
        raise


def _check_members(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse other names, sizes over the limit, links, and compression (which could swell)."""
    names = sorted(m.filename for m in members)
    plain = all(
        m.file_size <= _MEMBERS.get(m.filename, 0)
        and m.compress_type == zipfile.ZIP_STORED
        and not stat.S_ISLNK(m.external_attr >> 16)
        for m in members
    )
    if names != sorted(_MEMBERS) or not plain:
        raise BundleError(
            where=archive,
            expected=f"exactly the files {', '.join(sorted(_MEMBERS))}, uncompressed",
            found=", ".join(names)[:200] or "nothing",
            fix="export the bundle again",
        )
