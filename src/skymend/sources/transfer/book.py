"""A folder of small files that the processes of a machine share, changed under ``flock``."""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from skymend.core.files import file_lock, store_errors


class Book:
    """The folder. A process that dies while it holds the lock frees it.

    Parameters
    ----------
    folder : made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """Return where a file lies."""
        return self._folder / name

    def document(self, name: str) -> dict[str, Any]:
        """Return a JSON object, an empty one if it is not there or was torn by a power cut."""
        try:
            document = json.loads(self.path(name).read_bytes())
        except (FileNotFoundError, ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}

    def write(self, name: str, content: bytes | dict[str, Any]) -> None:
        """Replace a file at once; to be called under :meth:`locked`."""
        path = self.path(name)
        raw = content if isinstance(content, bytes) else json.dumps(content, indent=1).encode()
        with store_errors(path):
            part = path.with_name(f".{path.name}.part")
            part.write_bytes(raw)
            os.replace(part, path)

    def open(self, name: str) -> int:
        """Open a file to lock; return its descriptor."""
        path = self.path(name)
        with store_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def locked(self) -> AbstractContextManager[None]:
        """Keep every other process and thread out."""
        return file_lock(self.path("lock"), mode=0o600)
