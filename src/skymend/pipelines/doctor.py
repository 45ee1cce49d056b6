"""What ``skymend doctor`` says of a region file, of providers, and of both together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from skymend.core.errors import ConfigError, SkymendError
from skymend.pipelines.region import Region, load_region
from skymend.pipelines.region_sources import RadarSource, Source
from skymend.sources.doctor import check_collection, check_providers, configured
from skymend.sources.protocol import Finding, Settings


def of_region(path: Path) -> tuple[Finding, ...]:
    """Check a region file, and every source of it: folders by a search, providers by asking."""
    try:
        region = load_region(path)
    except ConfigError as error:
        return (Finding("region", False, str(error)),)
    found = (f for name, source in _sources(region) for f in _of_source(name, source))
    return tuple(dict.fromkeys([*found, *_of_orbits(region.sources.s1)]))


def of_providers(
    names: Sequence[str], endpoints: Mapping[str, str] | None = None
) -> tuple[Finding, ...]:
    """Check the providers named; all that have a login when none is named."""
    settings = Settings(endpoints=endpoints or {})
    wanted = tuple(names) or configured(settings)
    if not wanted:
        sentence = "no login in the environment or in ~/.netrc; see docs/sources.md for the names"
        return (Finding("providers", True, sentence),)
    return check_providers(wanted, settings)


def text(findings: Sequence[Finding]) -> str:
    """Return one line for each finding."""
    return "\n".join(f"{f.provider}: {'ok' if f.ok else 'wrong'}: {f.sentence}" for f in findings)


def _sources(region: Region) -> list[tuple[str, Source]]:
    named = {
        "sources.s2": region.sources.s2,
        "sources.s1": region.sources.s1,
        "sources.dem": region.sources.dem,
        "mask.source": region.mask.source,
        "evaluate.shapes": region.evaluate.shapes if region.evaluate else None,
    }
    return [(name, source) for name, source in named.items() if source is not None]


def _of_source(name: str, source: Source) -> tuple[Finding, ...]:
    if source.path is not None:
        return (_of_folder(f"{name} {source.provider}", source, source.path),)
    settings = Settings(endpoints=source.endpoints)
    checked = check_providers((source.provider,), settings)
    if not all(f.ok for f in checked):
        return checked
    from skymend.pipelines.remote import collection_of

    collection = collection_of(name.rpartition(".")[2], source)
    return (*checked, *check_collection(name, source.provider, collection, settings))


def _of_folder(name: str, source: Source, path: Path) -> Finding:
    """Search a folder as planning does, for every place and time."""
    from skymend.sources import local

    radar = isinstance(source, RadarSource)
    try:
        found = local.search(
            source.provider,
            path,
            grid=None,
            period=None,
            polarisations=("VV", "VH") if radar else (),
            strict=False,
        )
    except SkymendError as error:
        return Finding(name, False, str(error))
    broken = [r for r in found.rejected if r.reason.startswith("expected ")]
    count = f"{path}: {len(found.products)} products"
    if broken:
        first = f"{broken[0].path.name}: {broken[0].reason}"
        return Finding(name, False, f"{count}, {len(broken)} broken, such as {first}")
    if found.products:
        return Finding(name, True, count)
    reason = f" ({found.rejected[0].reason})" if found.rejected else ""
    return Finding(name, False, f"{path}: no product of this kind{reason}; check the path")


def _of_orbits(source: RadarSource | None) -> Iterator[Finding]:
    """Check where the orbit files of radar products come from."""
    from skymend.sources.orbits import PROVIDERS, OrbitFile

    if source is None:
        return
    if source.orbits is not None:
        folder = source.orbits
        files = [p for p in folder.glob("*.EOF") if OrbitFile.parse(p.name) is not None]
        sentence = f"{folder}: {len(files)} orbit files" + ("" if files else "; check the path")
        yield Finding("sources.s1.orbits", bool(files), sentence)
    elif source.orbit_provider != "none":
        asked = PROVIDERS if source.orbit_provider == "any" else (source.orbit_provider,)
        yield from check_providers(asked, Settings(endpoints=source.endpoints))
