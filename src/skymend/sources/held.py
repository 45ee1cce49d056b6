"""``skymend quarantine``: what downloads refuse to fetch again, and how to let it come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from skymend.core.files import machine_cache
from skymend.sources.transfer.quarantine import Held, Quarantine


def quarantine_report(folder: Path | None = None, *, as_json: bool = False) -> str:
    """Return the files in quarantine with their reasons, one a line (or as JSON).

    Parameters
    ----------
    folder : of the ledger; that of this machine by default.
    """
    held = _quarantine(folder).held()
    if as_json:
        return json.dumps({"quarantine": [asdict(one) for one in held]})
    if not held:
        return "nothing is in quarantine"
    return "\n".join(_line(one) for one in held)


def released(names: Sequence[str], folder: Path | None = None) -> str:
    """Let files be fetched again; return a line for each.

    Raises
    ------
    ConfigError
        if one is not held; those before it are released.
    """
    quarantine = _quarantine(folder)
    free = [one for name in names for one in quarantine.release(name)]
    return "\n".join(f"{one.provider}  {one.name}: may be fetched again" for one in free)


def _line(one: Held) -> str:
    where = f" ({one.address})" if one.address else ""
    return f"{one.provider}  {one.name}: {one.reason}{where}"


def _quarantine(folder: Path | None) -> Quarantine:
    return Quarantine(folder or machine_cache() / "ledger")
