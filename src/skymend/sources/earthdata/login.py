"""Earthdata Login: a token for every file, and which agreement is missing where it is refused.

Archives take a bearer token and redirect to signed addresses, which must not see it. A few know
only the older way: a login page on the way, whose cookies then open the file; it is gone through
once the token is refused, if there is a name and a password.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from skymend.core.errors import AccessError, SkymendError
from skymend.sources.answers import field, read_json
from skymend.sources.protocol import Settings
from skymend.sources.sessions import connection_error, patient, status_error

if TYPE_CHECKING:
    import requests

    from skymend.sources.transfer import Remote

LOGIN = "https://urs.earthdata.nasa.gov"

AGREEMENTS: Mapping[str, tuple[str, ...]] = {
    "data.lpdaac.earthdatacloud.nasa.gov": ("LP DAAC Cumulus (PROD)", "LP DAAC Data Pool"),
    "e4ftl01.cr.usgs.gov": ("LP DAAC Data Pool",),
    "ladsweb.modaps.eosdis.nasa.gov": ("LAADS Web",),
}
"""Applications that an Earthdata account must approve, by host."""

_MAX_BODY = 65536
_RESOLUTION = re.compile(
    r"https?://[^\s\"'<>]+/(?:accept_eula|approve_app|oauth/authorize)[^\s\"'<>]*"
)
_AGREEMENT = re.compile(r"\beula\b|agreement|not (?:been )?(?:authorized|approved)", re.IGNORECASE)


class EarthdataLogin:
    """The login of one account, made once and shared by the threads of a process.

    Parameters
    ----------
    settings : where logins are looked up.
    provider : under which name.
    """

    def __init__(self, settings: Settings, provider: str) -> None:
        self._settings = settings
        self._provider = provider
        self._url = settings.endpoint("earthdata.login", LOGIN)
        self._lock = threading.Lock()
        self._token: str | None = None

    def token(self, *, refused: str | None = None) -> str:
        """Return a bearer token; a ``refused`` one is replaced where there is a password.

        Raises
        ------
        AccessError
            if there is no login, or Earthdata refuses it.
        """
        with self._lock:
            if self._token is None or self._token == refused:
                self._token = self._new_token()
            return self._token

    def cookies(self, url: str) -> str:
        """Log in on the way to a file; return the cookies of its host as header, or ''."""
        login = self._settings.credentials.seek(self._provider, ["username", "password"])
        if len(login) < 2:
            return ""
        import requests

        with self._session(login["username"], login["password"]) as session:
            try:
                with session.get(url, stream=True):
                    pass
            except requests.RequestException:
                return ""
            request = requests.Request("GET", url)
            return str(session.prepare_request(request).headers.get("Cookie") or "")

    def refusal(self, error: AccessError, url: str) -> AccessError:
        """Say which agreement an archive misses, if that is why it refuses a good token."""
        host = urlsplit(url).hostname or ""
        said, link = self._reason(url)
        names = " and ".join(repr(n) for n in AGREEMENTS.get(host, ()))
        if not (link or _AGREEMENT.search(said + error.found)):
            return error
        named = _quoted(said) or names or f"the application of {host}"
        way = (
            f"open {link}"
            if link
            else "log in at urs.earthdata.nasa.gov, Applications > Authorized Apps"
        )
        return AccessError(
            where=error.where,
            expected=f"an Earthdata account that has accepted the agreement {named}",
            found=said or error.found,
            fix=f"{way}, approve {named} and accept its EULA; if that is done, make a new token",
        )

    def _new_token(self) -> str:
        credentials = self._settings.credentials
        own = credentials.seek(self._provider, ["token"])
        if "token" in own:
            return own["token"]
        login = credentials.find(self._provider, ["username", "password"])
        with self._session(login["username"], login["password"]) as session:
            url = f"{self._url}/api/users/find_or_create_token"
            text = self._posted(session, url)
        return field(read_json(text, self._where), "access_token", str, self._where)

    def _posted(self, session: requests.Session, url: str) -> str:
        import requests

        try:
            answer = session.post(url, headers={"Accept": "application/json"})
        except requests.RequestException as error:
            raise connection_error(self._where, error) from None
        if not answer.ok:
            raise status_error(self._where, answer.status_code, answer.text)
        return str(answer.text)

    def _session(self, username: str, password: str) -> requests.Session:
        """Return earthaccess's session: it shows the password to the login host alone."""
        from earthaccess.auth import SessionWithHeaderRedirection

        host = urlsplit(self._url).hostname or ""
        session = SessionWithHeaderRedirection(host, (username, password))
        session.auth = _unchanged  # else requests would look into the netrc file itself
        return patient(session, self._settings, self._provider)

    def _reason(self, url: str) -> tuple[str, str]:
        """Ask for a file once more; return what the refusal says and where it sends the user."""
        import requests

        session = requests.Session()
        session.auth = _unchanged
        patient(session, self._settings, self._provider)
        try:
            header = {"Authorization": f"Bearer {self.token()}"}
            with session.get(url, headers=header, stream=True, allow_redirects=False) as answer:
                body = answer.raw.read(_MAX_BODY, decode_content=True)
        except (requests.RequestException, SkymendError, OSError):
            return "", ""
        return _told(body.decode("utf-8", "replace"))

    @property
    def _where(self) -> str:
        return f"{self._provider}: {self._url}"


class EarthdataSigner:
    """Sends the token; after a refusal a new one, or the cookies of the older way."""

    def __init__(self, login: EarthdataLogin) -> None:
        self._login = login
        self._cookies: dict[str, str] = {}
        self._sent: str | None = None

    def headers(self, remote: Remote, *, refresh: bool) -> Mapping[str, str]:
        """Return the header; it goes to the first host only."""
        host = urlsplit(remote.url).netloc
        if refresh:
            self._sent = self._login.token(refused=self._sent)
            self._cookies[host] = self._login.cookies(remote.url)
        if self._cookies.get(host):
            return {"Cookie": self._cookies[host]}
        self._sent = self._sent or self._login.token()
        return {"Authorization": f"Bearer {self._sent}"}

    def url(self, remote: Remote, *, refresh: bool) -> str:
        """Return the address as it is."""
        return remote.url


def _unchanged(request: Any) -> Any:
    return request


def _told(body: str) -> tuple[str, str]:
    """Return the sentence and the link of a refusal: JSON of Earthdata Login, or a page."""
    link = _RESOLUTION.search(body)
    try:
        document: Any = json.loads(body)
    except ValueError:
        document = {}
    said = document.get("error_description") if isinstance(document, dict) else None
    if not isinstance(said, str):
        said = re.sub(r"<[^>]*>", " ", body)
    plain = " ".join(said.split())[:200]
    return plain, link[0] if link else ""


def _quoted(text: str) -> str:
    """Return a name in quotes inside a refusal, with its quotes."""
    match = re.search(r"([\"'])([^\"']{3,80})\1", text)
    return f"'{match[2]}'" if match else ""
