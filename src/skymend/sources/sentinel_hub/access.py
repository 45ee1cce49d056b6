"""The way to a Sentinel Hub deployment: tokens, the client, and its errors as sentences."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skymend.core.errors import AccessError, AnswerError, RetryableError, SkymendError
from skymend.sources.answers import malformed
from skymend.sources.fetching import ledger_of
from skymend.sources.json_client import take_turn
from skymend.sources.protocol import Settings
from skymend.sources.sentinel_hub import units
from skymend.sources.sessions import connection_error, explaining, status_error
from skymend.sources.tokens import TokenChain, Tokens

if TYPE_CHECKING:
    from sentinelhub import SentinelHubDownloadClient, SHConfig
    from sentinelhub.download import DownloadRequest

    from skymend.sources.transfer import Ledger, Limits

NAME = "sentinel-hub"
DEPLOYMENTS: Mapping[str, str] = {
    "https://sh.dataspace.copernicus.eu": "https://identity.dataspace.copernicus.eu"
    "/auth/realms/CDSE/protocol/openid-connect/token",
    "https://services.sentinel-hub.com": "https://services.sentinel-hub.com"
    "/auth/realms/main/protocol/openid-connect/token",
}
"""Token services by deployment: the Copernicus Data Space (the default) and the commercial one."""

_TRIES = 4


class ClientTokens(TokenChain):
    """Tokens of an OAuth client: its secret buys each, and there is no refresh token."""

    def _renewed(self, tokens: Tokens) -> Tokens:
        self._mind_pause(tokens)
        login = self._login()
        form = {"grant_type": "client_credentials", "client_secret": login["client_secret"]}
        answer = self._grant(form)
        if answer is None:
            raise self._refused(login)
        return self._parsed(answer, tokens)

    def _login(self) -> Any:
        return self.credentials.find(self.provider, ("client_id", "client_secret"))

    def _refused(self, login: Any) -> AccessError:
        return AccessError(
            where=self._where,
            expected="a client_id and client_secret that the service knows",
            found="a refusal",
            fix="make an OAuth client in the dashboard of the deployment, and give its two values",
        )

    @property
    def _path(self) -> Path:
        account = hashlib.sha256(f"{self.url}\n{self.client_id}".encode()).hexdigest()[:16]
        return self.cache / "tokens" / f"{self.provider}-{account}.json"


class Hub:
    """One deployment, spoken to through sentinelhub-py.

    Parameters
    ----------
    settings : endpoints ``sentinel-hub`` and ``sentinel-hub.token``.
    limits : of the account, shared by the processes of the machine.
    """

    def __init__(self, settings: Settings, limits: Limits | None) -> None:
        self.settings = settings
        self.url = settings.endpoint(NAME, next(iter(DEPLOYMENTS)))
        self.token_url = settings.endpoint(
            f"{NAME}.token", DEPLOYMENTS.get(self.url, next(iter(DEPLOYMENTS.values())))
        )
        self._limits = limits

    def config(self) -> SHConfig:
        """Return the client's configuration; nothing is read from its own files."""
        from sentinelhub import SHConfig

        config = SHConfig(use_defaults=True)
        config.sh_base_url = self.url
        config.sh_token_url = self.token_url
        config.max_retries = _TRIES  # the default is to try for ever
        config.max_download_attempts = _TRIES
        config.download_sleep_time = 0.25
        config.download_timeout_seconds = self.settings.timeout_s
        return config

    def client(self, *, rejected: str | None = None) -> SentinelHubDownloadClient:
        """Return a client with a good token."""
        from sentinelhub import SentinelHubDownloadClient, SentinelHubSession

        ledger = self.ledger()

        class Counted(SentinelHubDownloadClient):  # type: ignore[misc]
            """Takes the ledger's turn for each request, also a repeated one, and counts units."""

            def _do_download(self, request: DownloadRequest) -> Any:
                take_turn(ledger, NAME)
                response = super()._do_download(request)
                if response.ok:
                    ledger.spend_units(NAME, units.spent(response.headers, request.post_values))
                elif response.status_code == 429:
                    ledger.pause(NAME, units.pause_s(response.headers))
                return response

        token = self._chain().access(rejected=rejected)
        # Expiry is minded by the chain; the session must not ask for tokens itself.
        session = SentinelHubSession.from_token({"access_token": token, "expires_at": 2**40})
        return Counted(config=self.config(), session=session, default_retry_time=0.5)

    def ledger(self) -> Ledger:
        """Return the ledger of the machine with the limits of the account."""
        return ledger_of(self.settings, NAME, self._limits)

    def download(self, request: DownloadRequest) -> bytes:
        """Send one request; a refused token is replaced once."""
        rejected = None
        for last in (False, True):
            client = self.client(rejected=rejected)
            try:
                with self.errors():
                    (answer,) = client.download([request], max_threads=1, decode_data=False)
                return bytes(answer.content)
            except AccessError as error:
                if last or "status 401" not in error.found:
                    raise
                rejected = client.session.token["access_token"]
        raise AssertionError("unreachable")

    def errors(self) -> AbstractContextManager[None]:
        """Turn what the client raises into sentences, without addresses or tokens.

        It warns of rate limits, which are waited for.
        """
        return explaining(self._explained)

    def _chain(self) -> ClientTokens:
        credentials = self.settings.credentials
        client_id = credentials.find(NAME, ("client_id", "client_secret"))["client_id"]
        return ClientTokens(
            NAME,
            self.token_url,
            client_id,
            credentials,
            self.settings.cache,
            self.settings.timeout_s,
        )

    def _explained(self, error: Exception) -> SkymendError:
        import requests
        from sentinelhub.exceptions import MissingDataInRequestException, OutOfRequestsException

        cause = getattr(error, "request_exception", None) or error
        answer = getattr(cause, "response", None)
        if isinstance(error, OutOfRequestsException):
            return RetryableError(
                where=self.where,
                expected="an answer",
                found=f"status 429, {_TRIES} times",
                fix="try again later; the dashboard shows what is left of the quota",
            )
        if answer is not None and answer.status_code >= 400:
            return status_error(self.where, answer.status_code, _said(answer.content))
        if isinstance(error, KeyError):
            return malformed(self.where, f"a field {error.args[0]!r}", "no such field")
        if isinstance(error, (MissingDataInRequestException, TypeError)):
            return malformed(self.where, "a JSON object", "something else")
        if isinstance(cause, (requests.RequestException, ValueError)):
            return connection_error(self.where, cause)
        return AnswerError(
            where=self.where,
            expected="an answer",
            found=type(error).__name__,
            fix="check the request; the service may also have moved",
        )

    @property
    def where(self) -> str:
        """Which service, for errors."""
        return f"{NAME}: {self.url}"


def _said(body: bytes) -> str:
    """Return the message of an error body: ``error.message`` where it is JSON."""
    import json

    try:
        document = json.loads(body)
        return str(document["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:300].decode("utf-8", "replace")


__all__ = ["DEPLOYMENTS", "NAME", "ClientTokens", "Hub"]
