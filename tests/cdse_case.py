"""What the tests of the Copernicus Data Space share: simulated products, a login, an area."""

from __future__ import annotations

from datetime import UTC, date, datetime

from skymend.simulate import Scenario, write
from skymend.sources.area import Area
from skymend.sources.credentials import Credentials
from skymend.sources.protocol import Settings

SCENARIO = Scenario(size_px=60, start=date(2020, 4, 1), days=30, orbits=(), bands=("B02", "B04"))
PERIOD = (datetime(2020, 4, 1, tzinfo=UTC), datetime(2020, 4, 30, 23, 59, tzinfo=UTC))
L2A = "sentinel-2-l2a"


def made_products(folder):
    write(folder, SCENARIO, formats=("safe-l2a",))
    return folder


def settings_of(server, tmp_path, **login):
    login = login or {"username": server.account.username, "password": server.account.password}
    credentials = Credentials({"cdse": login}, {}, tmp_path / "no-netrc")
    return Settings(server.endpoints, credentials, tmp_path / "cache", timeout_s=10)


def area():
    return Area.of_grid(SCENARIO.grid)
