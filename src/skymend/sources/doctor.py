"""``skymend doctor``: which providers are set up, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable

from skymend.core.errors import SkymendError
from skymend.sources.credentials import NETRC_HOSTS, WELL_KNOWN
from skymend.sources.protocol import Finding, Settings
from skymend.sources.registry import open_source

_NAMES = ("username", "password", "token", "api_key", "client_id", "client_secret")

_OPEN = frozenset({"stac-api", "eodag"})
"""Bridges: what they serve is what stands behind them."""


def configured(settings: Settings) -> tuple[str, ...]:
    """Return the providers that some login is given for, by name."""
    known = sorted({*WELL_KNOWN, *NETRC_HOSTS})
    return tuple(p for p in known if _has_login(p, settings))


def _has_login(provider: str, settings: Settings) -> bool:
    names = tuple(dict.fromkeys((*WELL_KNOWN.get(provider, {}), *_NAMES)))
    return len(settings.credentials.seek(provider, names)) > 0


def check_providers(names: Iterable[str], settings: Settings) -> tuple[Finding, ...]:
    """Ask each provider what is wrong; one that fails is a finding, never an error."""
    return tuple(f for name in names for f in _check(name, settings))


def _check(name: str, settings: Settings) -> tuple[Finding, ...]:
    try:
        return open_source(name, settings).check()
    except SkymendError as error:
        return (Finding(name, False, str(error)),)


def check_collection(
    name: str, provider: str, collection: str, settings: Settings
) -> tuple[Finding, ...]:
    """Say whether a provider serves a collection; () where only a search can tell."""
    if provider in _OPEN or collection.startswith("byoc-"):
        return ()
    try:
        served = open_source(provider, settings).collections()
    except SkymendError as error:
        return (Finding(name, False, str(error)),)
    if collection in served:
        return (Finding(name, True, f"{provider} serves {collection}"),)
    sentence = f"{provider} serves no {collection}, only {', '.join(served)}"
    return (Finding(name, False, sentence),)
