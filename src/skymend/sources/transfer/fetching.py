"""One request of a download: is the answer what was asked for, and into the part with it."""

from __future__ import annotations

import time
from typing import Any

from skymend.core.errors import ProductError
from skymend.sources.transfer import answers, sniff
from skymend.sources.transfer.access import Access, Question
from skymend.sources.transfer.answers import Version
from skymend.sources.transfer.connections import describe
from skymend.sources.transfer.digests import Digest
from skymend.sources.transfer.intervals import Interval
from skymend.sources.transfer.session import UNKNOWN, Errand, Session
from skymend.sources.transfer.trouble import Cut, Restart

_BLOCK = 256 * 2**10
_NOTE = 2**20
_SLOWEST = 1024


class Fetcher:
    """Fetches errands of a session over an access.

    Parameters
    ----------
    access : the way to the remote.
    verifiable : whether the content will be checked by a digest or CRC. If it will not, ranges
        are put together only where a validator says that they are of one version.

    ``server_digests`` are those that came with the file; ``delimited`` says whether its end could
    be told from a cut.
    """

    def __init__(self, access: Access, *, verifiable: bool) -> None:
        self._access = access
        self._verifiable = verifiable
        self.server_digests: tuple[Digest, ...] = ()
        self.delimited = True

    def __call__(self, session: Session, errand: Errand) -> None:
        """Fetch one errand; its position says how far that went."""
        version = session.part.version
        question = Question(
            errand.position,
            None if session.whole else errand.end,
            version.validator if version else None,
        )
        response = self._access.ask(question, limit_s=session.left_s())
        session.answered()
        complete = False
        try:
            wanted = errand.end
            end = self._accept(session, errand, response)
            self._receive(session, errand, response, end)
            complete = errand.position == end
        finally:
            _let_go(response, complete and end <= wanted)
        if errand.position < errand.end and end != UNKNOWN:
            session.put_back(errand)

    def _accept(self, session: Session, errand: Errand, response: Any) -> int:
        """Return the end of the body, after checking that it is what was asked for."""
        if response.status == 416:
            return self._beyond(session, errand, response)
        if response.status == 200:
            return self._whole(session, errand, response)
        return self._range(session, errand, response)

    def _beyond(self, session: Session, errand: Errand, response: Any) -> int:
        """Take status 416 as an empty file, or one that has become shorter."""
        if session.part.version is None and answers.unsatisfied_total(response.headers) == 0:
            session.begin(Version(0, None, ranged=True), errand)
            return 0
        raise Restart("the file at the server has become shorter")

    def _whole(self, session: Session, errand: Errand, response: Any) -> int:
        """Take the whole file: the server has no ranges, or another version than before."""
        head = self._head(session, response)
        if session.part.version is not None or errand.position > 0:
            raise Restart("the server sent the whole file instead of a range: it has changed")
        length = answers.content_length(response.headers)
        _expect(session, length)
        self.delimited = answers.delimited(response.headers)
        if not self.delimited and not self._verifiable:
            self._refuse_endless(session)
        session.whole = True
        self.server_digests = answers.digests(response.headers)
        session.begin(Version(length, None, ranged=False), errand)
        self._put(session, errand, head)
        errand.end = UNKNOWN if length is None else length
        return errand.end

    def _refuse_endless(self, session: Session) -> None:
        if session.remote.size is None:
            raise ProductError(
                where=session.remote.public_url,
                expected="a length, a size or a digest, to tell a whole file from a cut one",
                found="none of them",
                fix="use another provider for this file",
            )

    def _range(self, session: Session, errand: Errand, response: Any) -> int:
        """Take a range of the version that is being fetched."""
        stated = answers.content_range(response.headers)
        if stated is None or stated[0] != errand.position or stated[1] > errand.end:
            raise Cut("another range than was asked for")
        total, now = stated[2], answers.validator(response.headers)
        version = session.part.version
        if version is None:
            self._first(session, errand, response, Version(total, now, ranged=True))
        elif total != version.total or (version.validator and now not in (None, version.validator)):
            raise Restart("the file has changed at the server")
        return stated[1]

    def _first(self, session: Session, errand: Errand, response: Any, version: Version) -> None:
        """Begin with the first range, unless ranges of this server cannot be put together."""
        complete = version.total is not None and version.total <= errand.end
        loose = version.validator is None and not self._verifiable and not complete
        if loose or version.total is None or answers.encoded(response.headers):
            again, session.whole = session.whole, True
            raise Restart("ranges of this server cannot be told apart", counts=again)
        self.server_digests = answers.digests(response.headers)
        head = self._head(session, response)
        _expect(session, version.total)
        session.begin(version, errand)
        self._put(session, errand, head)

    def _head(self, session: Session, response: Any) -> bytes:
        """Return the first bytes of a body, refused if they are an error page's."""
        head, decodes = b"", self._decodes(session, response)
        pace = _Pace(4 * session.options.stall_s, 0)
        while len(head) < sniff.HEAD:
            data = _read(response.read1, sniff.HEAD - len(head), decodes)
            if not data:
                break
            head += data
            pace.check(len(head))
        content_type = response.headers.get("Content-Type", "")
        problem = sniff.objection(session.remote.kind, session.remote.name, content_type, head)
        if problem:
            raise self._access.page(problem)
        return head

    @staticmethod
    def _decodes(session: Session, response: Any) -> bool:
        """Say whether the body is compressed on the way only."""
        return answers.encoded(response.headers) and not session.remote.name.endswith(".gz")

    def _put(self, session: Session, errand: Errand, data: bytes) -> None:
        if not session.part.write(data, errand.position):
            raise Restart("the part on disk is not what the server sends")
        session.part.note(Interval(errand.position, errand.position + len(data)))
        session.received(len(data))
        errand.position += len(data)

    def _receive(self, session: Session, errand: Errand, response: Any, end: int) -> None:
        """Move a body into the part, noting every MiB, until it ends or fails."""
        decodes = self._decodes(session, response)
        part, noted = session.part, errand.position
        pace = _Pace(4 * session.options.stall_s, errand.position)
        try:
            while errand.position < end:
                data = _read(response.read1, min(_BLOCK, end - errand.position), decodes)
                session.check()
                if not data:
                    break
                pace.check(errand.position)
                if not part.write(data, errand.position):
                    raise Restart("the part on disk is not what the server sends")
                errand.position += len(data)
                if errand.position - noted >= _NOTE:
                    part.note(Interval(noted, errand.position))
                    session.received(errand.position - noted)
                    noted = errand.position
                    session.follower.poke()
        finally:
            part.note(Interval(noted, errand.position))
            session.received(errand.position - noted)
        if end == UNKNOWN:
            errand.end = errand.position
        elif errand.position < end:
            raise Cut("the body ended early")


def _expect(session: Session, announced: int | None) -> None:
    """Do not begin a file of another size than its provider states, unless a digest will judge."""
    stated = session.remote.size
    if not session.remote.digests and None not in (stated, announced) and stated != announced:
        raise Cut(f"{announced} bytes are announced instead of {stated}")


class _Pace:
    """Ends a connection that drips: it never stalls, but would take for ever.

    Parameters
    ----------
    window_s : time over which the rate is measured.
    position : where it begins.
    """

    def __init__(self, window_s: float, position: int) -> None:
        self._window_s = window_s
        self._since, self._from = time.monotonic(), position

    def check(self, position: int) -> None:
        """Raise :class:`Cut` after a window with less than :data:`_SLOWEST`."""
        now = time.monotonic()
        if now - self._since < self._window_s:
            return
        if position - self._from < _SLOWEST * (now - self._since):
            raise Cut(f"less than {_SLOWEST} bytes a second came")
        self._since, self._from = now, position


def _read(read: Any, count: int, decodes: bool) -> bytes:
    """Read some bytes; whatever the network does becomes a :class:`Cut`."""
    import urllib3

    try:
        return bytes(read(count, decode_content=decodes))
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise Cut(describe(error)) from error


def _let_go(response: Any, complete: bool) -> None:
    """Keep the connection for the next request if its answer was read to the end."""
    if complete:
        response.drain_conn()
        response.release_conn()
    else:
        response.close()
