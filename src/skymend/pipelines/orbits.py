"""Orbit files for the radar products of a region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skymend.core.errors import ConfigError
from skymend.core.plan import FrozenProduct
from skymend.core.product import Product, RemoteFile, RemoteProduct
from skymend.pipelines.region_sources import RadarSource

if TYPE_CHECKING:
    from skymend.pipelines.snapshot import SnapshotOpener
    from skymend.sources.orbits import OrbitFile, Scene

KIND = "eof"


def orbit_files(
    source: RadarSource | None, radar: Sequence[FrozenProduct], snapshot: SnapshotOpener
) -> tuple[Mapping[str, FrozenProduct], tuple[str, ...]]:
    """Return the orbit file of each GRD product by its id, and in sentences what is missing.

    Precise files go before restituted ones, and of several the newest creation counts; a
    product without one is placed by the orbit of its own annotation.
    """
    from skymend.sources.orbits import Scene

    scenes = {p.id: Scene.of_name(p.id) for p in radar if p.kind == "safe-grd"}
    if source is None or not scenes:
        return {}, ()
    if source.orbits is None and source.orbit_provider == "none":
        return {}, ("no source of orbit files: radar is placed by the annotations' orbits",)
    found = {name: _found(source, name, scene) for name, scene in scenes.items()}
    products = {p.id: p for p in found.values() if p is not None}
    opened = snapshot("orbits")
    period = (min(s.start for s in scenes.values()), max(s.end for s in scenes.values()))
    frozen = {p.id: p for p in opened.freeze(products.values(), period).products}
    opened.save()
    notes = tuple(f"{name}: no orbit file yet" for name, p in found.items() if p is None)
    return {name: frozen[p.id] for name, p in found.items() if p is not None}, notes


def _found(source: RadarSource, name: str, scene: Scene) -> Product | RemoteProduct | None:
    if source.orbits is not None:
        return _in_folder(source.orbits, scene)
    from skymend.sources.orbits import find
    from skymend.sources.protocol import Settings

    chosen = source.orbit_provider
    asked = ("cdse", "asf") if chosen == "any" else (chosen,)
    found = find(scene, Settings(endpoints=source.endpoints), asked)
    if found is None:
        return None
    order = {"provider": found.provider, "endpoints": dict(source.endpoints), "scene": name}
    file = RemoteFile(found.orbit.name, found.orbit.name, -1, "")
    return RemoteProduct(
        found.orbit.name, KIND, found.orbit.start, (file,), _tags(found.orbit), order
    )


def _in_folder(folder: Path, scene: Scene) -> Product | None:
    from skymend.sources.orbits import OrbitFile, best

    if not folder.is_dir():
        raise ConfigError(
            where=f"sources.s1.orbits {folder}",
            expected="a folder of EOF orbit files",
            found="no such folder",
            fix="check the path; it is relative to the region file",
        )
    orbits = {o: p for p in sorted(folder.glob("*.EOF")) if (o := OrbitFile.parse(p.name))}
    orbit = best(orbits, scene)
    if orbit is None:
        return None
    path = orbits[orbit]
    return Product(orbit.name, KIND, orbit.start, path, (path,), _tags(orbit))


def _tags(orbit: OrbitFile) -> dict[str, str]:
    return {"platform": orbit.platform, "orbit": orbit.kind}
