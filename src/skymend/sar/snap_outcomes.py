"""How gpt ended, as an outcome of a job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skymend.core.errors import (
    ConfigError,
    ProductError,
    RetryableError,
    SkipJob,
    SkymendError,
    ToolMissingError,
)
from skymend.sar.programs import Finished, check_killed, last_words

_CAUSES: tuple[tuple[tuple[str, ...], type[SkymendError], str, str], ...] = (
    (
        ("outofmemoryerror", "java heap space", "gc overhead limit"),
        ConfigError,
        "enough memory for the graph",
        "raise SKYMEND_SNAP_MEMORY_GB, or process a smaller area",
    ),
    (
        ("unknownhostexception", "connectexception", "sockettimeout", "connection timed out"),
        RetryableError,
        "SNAP's own downloads (orbit, DEM) to succeed",
        "run again, or give the orbit file and the DEM",
    ),
    (
        ("no product reader found", "could not open", "not a valid product", "zip end header"),
        ProductError,
        "a product that SNAP can read",
        "fetch the product again",
    ),
    (
        ("unable to get orbit", "no valid orbit file", "orbit file not found"),
        RetryableError,
        "an orbit file for the pass",
        "give the orbit file, or wait until it is published",
    ),
    (
        ("entire image is outside", "outside of dem", "is outside of srtm"),
        ProductError,
        "a DEM that covers the scene",
        "give a DEM that reaches 20 km beyond the area",
    ),
    (
        ("esa_snappy cannot be imported",),
        ToolMissingError,
        "a Python that has esa-snappy",
        "correct SKYMEND_SNAPPY_PYTHON, or unset it to use gpt",
    ),
)
_NO_OVERLAP = ("does not intersect", "no intersection", "empty region", "outside the source")


def judge(finished: Finished, products: Sequence[Path]) -> None:
    """Turn the way gpt ended into an outcome; do nothing if all went well.

    Raises
    ------
    SkipJob
        if the pass does not touch the area.
    ConfigError, ProductError, RetryableError, StoreError, ToolMissingError
        by cause.
    """
    check_killed(finished, "gpt")
    if finished.code == 0:
        return
    errors = [line.lower() for line in finished.lines if "Error" in line or "Exception" in line]
    # Only an error ends a run: a warning in these words must not pass for an empty pass.
    if any(words in line for line in errors for words in _NO_OVERLAP):
        raise SkipJob("the pass does not touch the area")
    said = finished.text.lower()
    found = last_words(finished, "Error", "Exception")
    where = products[0].name
    for words, kind, expected, fix in _CAUSES:
        if any(word in said for word in words):
            raise kind(where=where, expected=expected, found=found, fix=fix)
    raise ProductError(
        where=where,
        expected="SNAP to process the product",
        found=found,
        fix="run gpt by hand on graph.xml in the work folder, or use the engine embedded",
    )
