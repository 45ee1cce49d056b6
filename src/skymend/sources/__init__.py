"""Where products come from: one module per provider, all answering the same question."""

from __future__ import annotations

from skymend.sources.local import search

__all__ = ["search"]
