"""Sessions of requests for clients that bring none of their own patience.

Some packages send with bare sessions: no timeout, no second try, no regard for limits. Mounting
these adapters on their sessions gives all three.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from skymend.core.errors import (
    AccessError,
    AnswerError,
    RetryableError,
    SkipJob,
    SkymendError,
    ToolMissingError,
)
from skymend.sources.answers import malformed
from skymend.sources.fetching import ledger_of
from skymend.sources.json_client import BUSY, take_turn
from skymend.sources.protocol import Settings

if TYPE_CHECKING:
    import requests
    from urllib3.util import Retry

    from skymend.sources.transfer import Limits


def need(provider: str, package: str) -> None:
    """Refuse to open a provider whose client is not installed.

    Raises
    ------
    ToolMissingError
        naming the package.
    """
    if find_spec(package) is None:
        raise ToolMissingError(
            where=f"provider {provider}",
            expected=f"the Python package {package}",
            found="no such package",
            fix="install it with: pip install 'skymend[sources]'",
        )


def patient(
    session: requests.Session, settings: Settings, provider: str, limits: Limits | None = None
) -> requests.Session:
    """Give a session timeouts, retries that honour Retry-After, and the provider's limits."""
    from requests.adapters import HTTPAdapter

    ledger = ledger_of(settings, provider, limits)

    class Patient(HTTPAdapter):
        def send(self, request: Any, *arguments: Any, **options: Any) -> Any:
            take_turn(ledger, provider)
            if options.get("timeout") is None:
                options["timeout"] = (min(settings.timeout_s, 20.0), settings.timeout_s)
            with ledger.connection(provider):
                return super().send(request, *arguments, **options)

    for scheme in ("http://", "https://"):
        session.mount(scheme, Patient(max_retries=retries(BUSY)))
    return session


def retries(statuses: Collection[int]) -> Retry:
    """Return four tries after these statuses; a server may ask for pauses of up to 30 s."""
    from urllib3.util import Retry

    return Retry(
        total=4,
        backoff_factor=0.25,
        status_forcelist=statuses,
        allowed_methods=None,
        retry_after_max=30,
        raise_on_status=False,
    )


@contextmanager
def explaining(
    explain: Callable[[Exception], SkymendError], unheard: type[Warning] = Warning
) -> Iterator[None]:
    """Turn what a client raises into sentences, and keep its warnings from users.

    Parameters
    ----------
    explain : exception of the client -> the error that says it.
    unheard : kind of the warnings.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", unheard)
        try:
            yield
        except (SkymendError, SkipJob):
            raise
        except Exception as error:
            raise explain(error) from error


def status_error(where: str, status: int, said: str) -> SkymendError:
    """Return what a refusing status means."""
    found = f"status {status}: {' '.join(said.split())[:200] or 'no more'}"
    if status in BUSY:
        return RetryableError(where=where, expected="an answer", found=found, fix="try again later")
    if status in (401, 403):
        return AccessError(
            where=where,
            expected="a login that the server accepts",
            found=found,
            fix="check the login and what the account may do; `skymend doctor` tells more",
        )
    return AnswerError(
        where=where,
        expected="an answer",
        found=found,
        fix="check the request; the service may also have moved",
    )


def connection_error(where: str, error: BaseException) -> SkymendError:
    """Return what an exception of requests means, without addresses that may hold secrets."""
    import requests

    if isinstance(error, (requests.JSONDecodeError, ValueError)) and not isinstance(
        error, requests.ConnectionError
    ):
        return malformed(where, "a JSON object", "something else")
    return RetryableError(
        where=where,
        expected="an answer",
        found=f"{type(error).__name__} of the connection",
        fix="check the network and the endpoint, then try again",
    )
