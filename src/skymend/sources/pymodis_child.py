"""Speak to a mirror through pymodis: ``python pymodis_child.py``, a question on stdin.

This file is run by the Python that has pymodis, in a process of its own, so that no line of a
GPL package is loaded beside skymend; it imports nothing of skymend. The question is a JSON object
with ``action`` (``list`` or ``fetch``), ``url``, ``path``, ``product``, ``tiles``, ``first``,
``last``, ``folder``, ``names``, ``user`` and ``password``; the password comes this way because
other users of a machine can read command lines. The answer is the last line of stdout: a JSON
object with ``files`` (names), or ``error``.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

MISSING = 3
FAILED = 1


def main() -> int:
    """Answer the question; return 0, 1 after an error, 3 without pymodis."""
    question = json.loads(sys.stdin.read())
    # The folder of this file holds a module of skymend that has the package's name.
    sys.path[:] = [p for p in sys.path if Path(p).resolve() != Path(__file__).resolve().parent]
    try:
        from pymodis import downmodis  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        return _answer({"error": f"pymodis cannot be imported: {error}"}, MISSING)
    words = io.StringIO()
    try:
        # It prints as it goes; the answer must stay alone on its line.
        with contextlib.redirect_stdout(words):
            files = _files(downmodis, question)
    except BaseException as error:  # it also leaves by sys.exit
        return _answer({"error": f"{type(error).__name__}: {error}"}, FAILED)
    return _answer({"files": files}, 0)


def _files(downmodis: Any, question: dict[str, Any]) -> list[str]:
    mirror = downmodis.downModis(
        destinationFolder=question["folder"],
        user=question["user"],
        password=question["password"],
        url=question["url"],
        tiles=",".join(question["tiles"]),
        path=question["path"],
        product=question["product"],
        # Its days run backwards: from the last to the first.
        today=question["last"],
        enddate=question["first"],
        timeout=question["timeout_s"],
        checkgdal=False,
    )
    mirror.connect()
    found: list[str] = []
    for day in mirror.getListDays():
        names = [str(name) for name in mirror.getFilesList(day)]
        if question["action"] == "fetch":
            names = [name for name in names if name in question["names"]]
            if names:
                mirror.dayDownload(day, names)
        found += names
    return found


def _answer(document: dict[str, Any], status: int) -> int:
    sys.stdout.write(json.dumps(document) + "\n")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
