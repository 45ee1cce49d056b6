"""Access tokens of OpenID providers: one refresh chain for all processes of a machine.

Each password login opens a session, and the Copernicus Data Space closes the door at 100. So
tokens live in a file that only the owner can read, guarded by a lock: whoever finds the access
token old (10 minutes) refreshes it for all; the password is sent only when the refresh token
(60 minutes) is gone too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

from pydantic import TypeAdapter

from skymend.core.errors import AccessError, ConfigError, RetryableError
from skymend.core.files import file_lock, store_errors
from skymend.sources.answers import field, malformed, read_json
from skymend.sources.credentials import Credentials, Secrets
from skymend.sources.transfer.answers import retry_after
from skymend.sources.transfer.connections import pools, proxy_for
from skymend.sources.transfer.ledger import LONGEST_PAUSE_S

MARGIN_S = 30.0
"""An access token is refreshed this long before it ends, so that it outlives a request."""

BUSY_WAIT_S = 60.0
"""How long nobody on this machine asks for a session after "Max session number exceeded"."""

_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


def totp(
    secret: str, moment: float, *, digits: int = 6, step_s: int = 30, name: str = "sha1"
) -> str:
    """Return a time-based one-time password (RFC 6238 over the HOTP of RFC 4226, section 5.3).

    Parameters
    ----------
    secret : shared secret in base32, as an authenticator shows it; spaces and case do not count.
    moment : seconds since 1970 (UTC).
    name : hash of the HMAC: sha1, sha256 or sha512.

    Raises
    ------
    ConfigError
        if the secret is not base32.
    """
    text = secret.replace(" ", "").replace("-", "").upper().rstrip("=")
    try:
        key = base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error:
        raise ConfigError(
            where="totp_secret",
            expected="base32: letters A-Z and digits 2-7",
            found="something else",
            fix="copy the setup key that the provider shows beside the QR code",
        ) from None
    mac = hmac.new(key, struct.pack(">Q", int(moment) // step_s), name).digest()
    start = mac[-1] & 0x0F
    number = struct.unpack(">I", mac[start : start + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}d}"


@dataclass(frozen=True)
class Tokens:
    """What the cache file holds; times are seconds since 1970."""

    access: str = ""
    refresh: str = ""
    access_until: float = 0.0
    refresh_until: float = 0.0
    busy_until: float = 0.0

    def __repr__(self) -> str:
        return f"Tokens(access_until={self.access_until}, refresh_until={self.refresh_until})"

    def fresh(self, now: float) -> bool:
        """Say whether the access token outlives a request begun now."""
        return bool(self.access) and now < self.access_until - MARGIN_S

    def refreshable(self, now: float) -> bool:
        """Say whether the refresh token still counts."""
        return bool(self.refresh) and now < self.refresh_until - 5.0


@dataclass(frozen=True)
class TokenChain:
    """The tokens of one account at one OpenID provider.

    Parameters
    ----------
    provider : name under which the credentials are looked up.
    url : the token endpoint.
    client_id : the public client, such as ``cdse-public``.
    credentials : ``username`` and ``password``; ``totp_secret`` where the account has a second
        factor.
    cache : folder of the machine's shared state.
    clock : seconds since 1970; tests turn it.
    """

    provider: str
    url: str
    client_id: str
    credentials: Credentials
    cache: Path
    timeout_s: float = 60.0
    clock: Callable[[], float] = time.time

    def access(self, *, rejected: str | None = None) -> str:
        """Return an access token that is still good.

        Parameters
        ----------
        rejected : a token that the service has just refused; it is replaced unless another
            process has done so already.

        Raises
        ------
        AccessError
            if there is no login or it is refused.
        RetryableError
            if the account has too many sessions, or the service cannot be reached.
        AnswerError
            if the answer lacks a field.
        """
        tokens = self._read()
        if tokens.fresh(self.clock()) and tokens.access != rejected:
            return tokens.access
        with self._locked():
            tokens = self._read()
            if not tokens.fresh(self.clock()) or tokens.access == rejected:
                tokens = self._renewed(tokens)
                self._write(tokens)
        return tokens.access

    def forget(self) -> None:
        """Delete the tokens of this account from the machine."""
        with self._locked():
            self._path.unlink(missing_ok=True)

    def _renewed(self, tokens: Tokens) -> Tokens:
        if tokens.refreshable(self.clock()):
            answer = self._grant({"grant_type": "refresh_token", "refresh_token": tokens.refresh})
            if answer is not None:
                return self._parsed(answer, tokens)
        self._mind_pause(tokens)
        login = self._login()
        form = {k: v for k, v in login.items() if k != "totp_secret"}
        if "totp_secret" in login:
            form["totp"] = totp(login["totp_secret"], self.clock())
        answer = self._grant({"grant_type": "password", **form})
        if answer is None:
            raise self._refused(login)
        return self._parsed(answer, tokens)

    def _mind_pause(self, tokens: Tokens) -> None:
        """Ask for no new session before the pause of a full account is over."""
        left = tokens.busy_until - self.clock()
        if 0 < left <= LONGEST_PAUSE_S:  # a longer one comes of a clock that was set back
            raise self._busy(left)

    def _login(self) -> Secrets:
        needed = self.credentials.find(self.provider, ("username", "password"))
        return Secrets({**needed, **self.credentials.seek(self.provider, ("totp_secret",))})

    def _grant(self, form: Mapping[str, str]) -> bytes | None:
        """Ask for tokens; None where the grant is refused."""
        body = urlencode({"client_id": self.client_id, **form}).encode()
        status, after, answer = self._post(body)
        if status == 429 or b"session number" in answer.lower():
            wait = BUSY_WAIT_S if after is None else min(after, LONGEST_PAUSE_S)
            self._write(replace(self._read(), busy_until=self.clock() + wait))
            raise self._busy(wait)
        if status in {400, 401, 403}:
            return None
        if status >= 500:
            raise self._unreachable(f"status {status}")
        if status != 200:
            raise malformed(self._where, "status 200", f"status {status}")
        return answer

    def _post(self, body: bytes) -> tuple[int, float | None, bytes]:
        """Send a form; return status, Retry-After and body. A redirect is not followed."""
        import urllib3

        wait = urllib3.Timeout(connect=min(self.timeout_s, 15.0), read=self.timeout_s)
        try:
            with pools(proxy_for(self.url), num_pools=1) as pool:
                reply = pool.request(
                    "POST", self.url, headers=_FORM, body=body, timeout=wait, retries=False
                )
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(type(error).__name__) from None
        after = retry_after(reply.headers, datetime.now(UTC))
        return int(reply.status), after, bytes(reply.data)

    def _parsed(self, reply: bytes, before: Tokens) -> Tokens:
        answer, now = read_json(reply, self._where), self.clock()
        life = field(answer, "expires_in", float, self._where)
        refresh = field(answer, "refresh_token", str, self._where, default="")
        rest = field(answer, "refresh_expires_in", float, self._where, default=0.0)
        return Tokens(
            access=field(answer, "access_token", str, self._where),
            refresh=refresh or before.refresh,
            access_until=now + life,
            refresh_until=now + rest if refresh else before.refresh_until,
        )

    @property
    def _where(self) -> str:
        return f"token service of {self.provider}"

    def _unreachable(self, found: str) -> RetryableError:
        return RetryableError(
            where=self._where,
            expected="an answer",
            found=found,
            fix="check the network and the endpoint, then try again",
        )

    def _busy(self, wait: float) -> RetryableError:
        return RetryableError(
            where=self._where,
            expected="a free session",
            found="the account has reached its most sessions (429, Max session number exceeded)",
            fix=f"wait {wait:.0f} s, or close sessions that other programs hold open",
        )

    def _refused(self, login: Secrets) -> AccessError:
        factor = " or totp_secret" if "totp_secret" in login else ""
        hint = "" if factor else "; an account with a second factor needs totp_secret too"
        return AccessError(
            where=self._where,
            expected=f"a username and password{factor} that the provider knows",
            found="a refusal",
            fix=f"log in on the provider's web page to check them{hint}",
        )

    @property
    def _path(self) -> Path:
        user = self.credentials.seek(self.provider, ("username",)).get("username", "")
        account = hashlib.sha256(f"{self.url}\n{user}".encode()).hexdigest()[:16]
        return self.cache / "tokens" / f"{self.provider}-{account}.json"

    def _read(self) -> Tokens:
        try:
            return TypeAdapter(Tokens).validate_json(self._path.read_bytes())
        except (OSError, ValueError):
            return Tokens()  # absent or damaged: the chain starts anew

    def _write(self, tokens: Tokens) -> None:
        path = self._path
        part = path.with_suffix(f".{os.getpid()}.part")
        with store_errors(path):
            with suppress(FileNotFoundError):
                part.unlink()
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(asdict(tokens), stream)
            os.replace(part, path)

    def _locked(self) -> AbstractContextManager[None]:
        path = self._path.with_suffix(".lock")
        with store_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return file_lock(path, mode=0o600)
