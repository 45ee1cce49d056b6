"""Bundles as a user handles them: list, show, export to an archive, import from one."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

from skymend.core.errors import BundleError
from skymend.core.files import store_errors
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
    """Pack a bundle into an uncompressed tar archive; the same bundle gives the same bytes.

    Raises
    ------
    BundleError
        if the bundle is damaged.
    """
    load_bundle(folder)
    with store_errors(archive):
        partial = archive.with_name(f".{archive.name}.part")
        with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
            for name in sorted(_MEMBERS):
                member = tarfile.TarInfo(name)
                member.size = (folder / name).stat().st_size
                member.mode = 0o644
                with (folder / name).open("rb") as stream:
                    tar.addfile(member, stream)
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
        with tarfile.open(archive, "r:") as tar:
            members = _checked(archive, tar.getmembers())
            with store_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
                for member in members:
                    _extract(tar, member, folder / member.name)
    except (tarfile.TarError, FileNotFoundError) as error:
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


def _checked(archive: Path, members: list[tarfile.TarInfo]) -> list[tarfile.TarInfo]:
    names = sorted(m.name for m in members)
    plain = all(m.isreg() and m.size <= _MEMBERS.get(m.name, 0) for m in members)
    if names != sorted(_MEMBERS) or not plain:
        raise BundleError(
            where=archive,
            expected=f"exactly the files {', '.join(sorted(_MEMBERS))}",
            found=", ".join(names)[:200] or "nothing",
            fix="export the bundle again",
        )
    return members


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = tar.extractfile(member)
    if source is None:
        return
    with path.open("wb") as target:
        while chunk := source.read(_CHUNK):
            target.write(chunk)


def describe_architectures() -> str:
    """List the registered networks with their inputs, a line each."""
    from skymend.models.registry import ARCHITECTURES

    lines = []
    for name, spec in sorted(ARCHITECTURES.items()):
        lines.append(f"{name:34s} {', '.join(key for key, _ in spec.channels)}")
    return "\n".join(lines)


def describe_bundles(root: Path) -> str:
    """List the bundles below a folder, a line each."""
    entries = list_bundles(root)
    if not entries:
        return f"no bundle below {root}"
    return "\n".join(f"{e.folder}  {e.architecture}  {e.parameters} parameters" for e in entries)
