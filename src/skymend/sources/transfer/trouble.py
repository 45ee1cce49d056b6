"""What can happen to one request, as the engine tells it apart."""

from __future__ import annotations


class Cut(Exception):  # noqa: N818 - events, not errors for the user
    """The connection ended early, stalled, or brought something else than the range asked for."""


class Page(Cut):
    """A web page or message came instead of the file."""


class Busy(Exception):  # noqa: N818
    """The server asks to wait.

    Parameters
    ----------
    status : 429, 503, ...
    wait_s : what ``Retry-After`` says; None without it.
    """

    def __init__(self, status: int, wait_s: float | None) -> None:
        self.wait_s = wait_s
        super().__init__(f"status {status}")


class Refused(Exception):  # noqa: N818
    """Status 401 or 403; ``words`` are what the server says."""

    def __init__(self, status: int, words: str) -> None:
        self.words = words
        super().__init__(f"status {status}" + (f" ({words})" if words else ""))


class Restart(Exception):  # noqa: N818
    """What is here is worth nothing any more: begin again at byte 0.

    Parameters
    ----------
    reason : in words.
    counts : False if it is no fault, so that it does not use up an attempt.
    """

    def __init__(self, reason: str, *, counts: bool = True) -> None:
        self.counts = counts
        super().__init__(reason)


class Stopped(Exception):  # noqa: N818
    """Another thread ended the download."""
