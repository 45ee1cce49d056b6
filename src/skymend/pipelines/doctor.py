"""What ``skymend doctor`` says of a region file, of providers, and of both together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from skymend.core.errors import ConfigError
from skymend.pipelines.region import Region, load_region
from skymend.pipelines.region_sources import Source
from skymend.sources.doctor import check_providers, configured
from skymend.sources.protocol import Finding, Settings


def of_region(path: Path) -> tuple[Finding, ...]:
    """Check a region file, and every source of it: folders by being there, providers by asking."""
    try:
        region = load_region(path)
    except ConfigError as error:
        return (Finding("region", False, str(error)),)
    return tuple(f for name, source in _sources(region) for f in _of_source(name, source))


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
    }
    return [(name, source) for name, source in named.items() if source is not None]


def _of_source(name: str, source: Source) -> tuple[Finding, ...]:
    if source.path is None:
        return check_providers((source.provider,), Settings(endpoints=source.endpoints))
    there = source.path.exists()
    sentence = f"{source.path} is {'there' if there else 'missing; check the path'}"
    return (Finding(f"{name} {source.provider}", there, sentence),)
