"""Keys and checksums: what makes two jobs, or two files, the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skymend.core.errors import InternalError

_CHUNK = 1 << 20


def canonical_json(document: Any) -> str:
    """Return the one JSON text of a document: sorted keys, no spaces, no NaN.

    Raises
    ------
    InternalError
        if the document holds something JSON cannot say.
    """
    try:
        return json.dumps(
            document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise InternalError(
            where="canonical JSON",
            expected="plain JSON values without NaN",
            found=str(error),
            fix="turn the value into numbers, strings, lists and mappings",
        ) from error


def digest(document: Any) -> str:
    """Return the sha256 (64 hex digits) of the canonical JSON of a document."""
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, read in pieces of 1 MiB."""
    state = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def job_key(
    step: str,
    version: int,
    params: Mapping[str, Any],
    inputs: Mapping[str, Any],
    tags: Mapping[str, str],
) -> str:
    """Return the key of a job.

    ``inputs`` maps input names to lists of keys (of jobs) or identities (of products). The
    same function with checksums instead of keys gives the *content key*. Tags are derived
    from products and parameters; they are hashed too because they name the output folder.
    """
    return digest(
        {
            "step": step,
            "version": version,
            "params": dict(params),
            "inputs": {name: list(refs) for name, refs in inputs.items()},
            "tags": dict(tags),
        }
    )
