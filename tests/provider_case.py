"""What the tests of providers share: settings that reach nothing outside, an area, a period."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from skymend.sources.area import Area
from skymend.sources.credentials import Credentials
from skymend.sources.protocol import Settings

AREA = Area.of_bounds(5.0, 45.0, 5.4, 45.3)
SPRING = (datetime(2023, 4, 1, tzinfo=UTC), datetime(2023, 5, 1, tzinfo=UTC))


def settings(folder: Path, endpoints: Mapping[str, str], **logins: Mapping[str, str]) -> Settings:
    """Settings with a cache of their own; logins by provider, ``_`` standing for ``-``."""
    named = {provider.replace("_", "-"): dict(login) for provider, login in logins.items()}
    credentials = Credentials(named, {}, folder / "no-netrc")
    return Settings(endpoints, credentials, folder / "cache", timeout_s=5.0)


def zip_of(files: Mapping[str, bytes]) -> bytes:
    """A zip archive with these members."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), content)
    return target.getvalue()


def safe_zip(title: str, files: Mapping[str, bytes]) -> bytes:
    """A SAFE archive: a folder with a manifest that states the MD5 of every other file."""
    streams = "".join(
        f'<dataObject><byteStream><fileLocation href="./{name}"/>'
        f'<checksum checksumName="MD5">{hashlib.md5(content).hexdigest()}</checksum>'
        "</byteStream></dataObject>"
        for name, content in sorted(files.items())
    )
    manifest = f"<XFDU><dataObjectSection>{streams}</dataObjectSection></XFDU>".encode()
    members = {**files, "manifest.safe": manifest}
    return zip_of({f"{title}.SAFE/{name}": content for name, content in members.items()})


def geotiff_of(value: int) -> bytes:
    """A small GeoTIFF of one value, as the transfer engine must find it to believe the name."""
    import numpy as np
    from rasterio.io import MemoryFile
    from rasterio.transform import from_origin

    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            height=8,
            width=8,
            count=1,
            dtype="uint16",
            crs="EPSG:32631",
            transform=from_origin(600000, 5000000, 10, 10),
        ) as dataset:
            dataset.write(np.full((1, 8, 8), value, np.uint16))
        return bytes(memory.read())
