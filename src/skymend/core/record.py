"""Records: what a finished or skipped job leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class OutputFile(BaseModel):
    """One file a job made: path relative to the store, checksum, size and time on disk.

    ``etag`` is what an S3 store called these bytes when they were uploaded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str
    size: int
    mtime_ns: int
    etag: str | None = None


class Output(BaseModel):
    """One named output: a file, or a folder with its files; ``path`` relative to the store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    files: tuple[OutputFile, ...]


class Record(BaseModel):
    """A finished (``done``) or skipped job. Its existence means the job need not run.

    ``content_key`` is the key computed with the checksums of the inputs; ``adopted_from``
    is the key of the job whose result was taken over instead of running. ``facts`` are
    what the step found out; ``software`` and ``seconds`` tell how it was made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    step: str
    version: int
    status: Literal["done", "skipped"]
    reason: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    outputs: dict[str, Output] = Field(default_factory=dict)
    facts: dict[str, Any] = Field(default_factory=dict)
    content_key: str | None = None
    adopted_from: str | None = None
    software: dict[str, str] = Field(default_factory=dict)
    started: str = ""
    seconds: float = 0.0

    def files(self) -> Iterator[OutputFile]:
        """Yield every file of every output."""
        return (file for output in self.outputs.values() for file in output.files)

    def checksums(self) -> dict[str, list[str]]:
        """Return output name -> sha256 of its files, for content keys."""
        return {name: [f.sha256 for f in out.files] for name, out in sorted(self.outputs.items())}
