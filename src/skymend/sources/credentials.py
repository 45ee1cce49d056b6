"""Logins: given as arguments, in the environment or in ``~/.netrc``, and never printed."""

from __future__ import annotations

import netrc
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from skymend.core.errors import AccessError, ConfigError

_AWS = {
    "access_key": ("AWS_ACCESS_KEY_ID",),
    "secret_key": ("AWS_SECRET_ACCESS_KEY",),
    "session_token": ("AWS_SESSION_TOKEN",),
}
_EARTHDATA = {
    "username": ("EARTHDATA_USERNAME",),
    "password": ("EARTHDATA_PASSWORD",),
    "token": ("EARTHDATA_TOKEN",),
}

WELL_KNOWN: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "cdse": {
        "username": ("CDSE_USERNAME",),
        "password": ("CDSE_PASSWORD",),
        "totp_secret": ("CDSE_TOTP_SECRET",),
        "access_key": ("CDSE_S3_ACCESS_KEY",),
        "secret_key": ("CDSE_S3_SECRET_KEY",),
    },
    "sentinel-hub": {"client_id": ("SH_CLIENT_ID",), "client_secret": ("SH_CLIENT_SECRET",)},
    "earthdata": _EARTHDATA,
    "asf": _EARTHDATA,
    "pymodis": _EARTHDATA,
    "landsat-m2m": {"username": ("M2M_USERNAME",), "token": ("M2M_TOKEN",)},
    "usgs-landsat": _AWS,
    "s3": _AWS,
    "planetary-computer": {"subscription_key": ("PC_SDK_SUBSCRIPTION_KEY",)},
    "geodes": {"api_key": ("GEODES_API_KEY",)},
    "earth-engine": {
        "project": ("EARTHENGINE_PROJECT", "GOOGLE_CLOUD_PROJECT"),
        "key_file": ("GOOGLE_APPLICATION_CREDENTIALS",),
    },
}
"""Variables that a provider's own tools read, by provider and name."""

NETRC_HOSTS: Mapping[str, tuple[str, ...]] = {
    "cdse": ("identity.dataspace.copernicus.eu", "dataspace.copernicus.eu"),
    "earthdata": ("urs.earthdata.nasa.gov",),
    "asf": ("urs.earthdata.nasa.gov",),
    "pymodis": ("urs.earthdata.nasa.gov",),
    "landsat-m2m": ("m2m.cr.usgs.gov", "ers.cr.usgs.gov"),
    "sara": ("copernicus.nci.org.au",),
    "geodes": ("geodes-portal.cnes.fr",),
}
"""Machines of ``~/.netrc`` that speak for a provider, first found first."""

_NETRC_NAMES = {
    "username": "username",
    "password": "password",
    # M2M takes an application token and GEODES a key in place of a password.
    "token": "password",
    "api_key": "password",
}
_PASSWORD_PROVIDERS = {"landsat-m2m": {"token"}, "geodes": {"api_key"}}


class Secrets(Mapping[str, str]):
    """Named secrets that never show in a repr; :meth:`hide` takes them out of a text."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._values))})"

    def hide(self, text: str) -> str:
        """Return the text with every secret in it replaced by ``***``."""
        for value in sorted(self._values.values(), key=len, reverse=True):
            if value:
                text = text.replace(value, "***")
        return text


@dataclass(frozen=True)
class Credentials:
    """Where logins come from; the first that has a name wins.

    Parameters
    ----------
    arguments : given by the caller, by provider and name.
    environment : variables; those of the process by default.
    netrc_file : ``$NETRC`` or ``~/.netrc`` by default.
    """

    arguments: Mapping[str, Mapping[str, str]] = field(
        default_factory=lambda: MappingProxyType({}), repr=False
    )
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    netrc_file: Path | None = None

    def find(self, provider: str, names: Sequence[str]) -> Secrets:
        """Return all the names of a provider's login.

        Raises
        ------
        AccessError
            if one is missing; the sentence names all three places to put it.
        ConfigError
            if the netrc file cannot be read.
        """
        found = self.seek(provider, names)
        missing = [name for name in names if name not in found]
        if missing:
            raise AccessError(
                where=f"login of {provider}",
                expected=" and ".join(names),
                found=f"no {' and no '.join(missing)}",
                fix=self._advice(provider, missing),
            )
        return found

    def seek(self, provider: str, names: Sequence[str]) -> Secrets:
        """Return those of the names that are given somewhere; none is no error."""
        values = {}
        for name in names:
            value = self._given(provider, name)
            if value:
                values[name] = value
        return Secrets(values | self._from_netrc(provider, names, values))

    def origin(self, provider: str, name: str) -> str | None:
        """Say where a name is found: ``arguments``, a variable, ``netrc``, or None."""
        if self.arguments.get(provider, {}).get(name):
            return "arguments"
        for variable in _variables(provider, name):
            if self.environment.get(variable):
                return variable
        return "netrc" if name in self.seek(provider, [name]) else None

    def _given(self, provider: str, name: str) -> str | None:
        argument = self.arguments.get(provider, {}).get(name)
        if argument:
            return argument
        variables = _variables(provider, name)
        return next((v for v in map(self.environment.get, variables) if v), None)

    def _from_netrc(
        self, provider: str, names: Sequence[str], known: Mapping[str, str]
    ) -> dict[str, str]:
        entry = self._netrc_entry(provider)
        if entry is None:
            return {}
        user = known.get("username") or self._given(provider, "username")
        if user and entry["username"] and user != entry["username"]:
            return {}  # a password of somebody else
        allowed = {"username", "password"} | _PASSWORD_PROVIDERS.get(provider, set())
        wanted = [n for n in names if n not in known and n in allowed]
        return {n: entry[_NETRC_NAMES[n]] for n in wanted if entry[_NETRC_NAMES[n]]}

    def _netrc_entry(self, provider: str) -> dict[str, str] | None:
        path = self._netrc_path()
        hosts = NETRC_HOSTS.get(provider, ())
        if not hosts or not path.is_file():
            return None
        try:
            table = netrc.netrc(str(path)).hosts
        except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:
            line = getattr(error, "lineno", None)
            raise ConfigError(
                where=path,
                expected="a netrc file: machine HOST login NAME password SECRET",
                found=f"a mistake in line {line}" if line else "a file that cannot be read",
                fix="correct it, or give the login by environment variables",
            ) from None  # the message of the parser may quote a password
        entry = next((table[h] for h in hosts if h in table), None)
        return None if entry is None else {"username": entry[0], "password": entry[2]}

    def _netrc_path(self) -> Path:
        if self.netrc_file is not None:
            return self.netrc_file
        own = self.environment.get("NETRC")
        return Path(own) if own else Path.home() / ".netrc"

    def _advice(self, provider: str, missing: Sequence[str]) -> str:
        variables = " and ".join(_variables(provider, name)[0] for name in missing)
        hosts = NETRC_HOSTS.get(provider)
        allowed = {"username", "password"} | _PASSWORD_PROVIDERS.get(provider, set())
        if hosts and set(missing) <= allowed:
            line = f"a line 'machine {hosts[0]} login ... password ...' in ~/.netrc"
        else:
            line = "~/.netrc, which cannot hold it for this provider"
        return (
            f"give it as argument (Credentials(arguments={{'{provider}': ...}})), "
            f"in the environment ({variables}) or by {line}"
        )


def variable(provider: str, name: str) -> str:
    """Name the environment variable of a login: ``SKYMEND_CDSE_USERNAME``."""
    return f"SKYMEND_{provider}_{name}".upper().replace("-", "_")


def _variables(provider: str, name: str) -> tuple[str, ...]:
    return (variable(provider, name), *WELL_KNOWN.get(provider, {}).get(name, ()))
