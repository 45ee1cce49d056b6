"""A stand-in for pymodis's ``downmodis``, written to its documented interface, not to its code.

It speaks to a mirror that is a folder: ``url`` is ``http://mirror.invalid`` and
``STANDIN_MIRROR`` names the folder with ``<path>/<product>/<yyyy.mm.dd>/<files>``.
"""

from __future__ import annotations

import os
import shutil
from datetime import date
from pathlib import Path


class downModis:  # noqa: N801
    """Days of one product for some tiles."""

    def __init__(
        self,
        destinationFolder,
        password=None,
        user=None,
        url="",
        tiles=None,
        path="MOLT",
        product="MOD11A1.061",
        today=None,
        enddate=None,
        delta=10,
        jpg=False,
        debug=False,
        timeout=30,
        checkgdal=True,
    ):
        print("a line that pymodis may print")
        if (user, password) != ("someone", "pass word"):
            raise OSError(f"login of {user} with {password} is refused")
        self.folder = Path(destinationFolder)
        self.tiles = tiles.split(",")
        self.root = Path(os.environ["STANDIN_MIRROR"]) / path / product
        self.last, self.first = date.fromisoformat(today), date.fromisoformat(enddate)

    def connect(self, ncon=20):
        if not self.root.is_dir():
            raise SystemExit("no connection to the mirror")

    def getListDays(self):
        days = sorted((p.name for p in self.root.iterdir()), reverse=True)
        return [
            d for d in days if self.first <= date.fromisoformat(d.replace(".", "-")) <= self.last
        ]

    def getFilesList(self, day):
        names = sorted(p.name for p in (self.root / day).iterdir())
        return [n for n in names if any(t in n for t in self.tiles)]

    def dayDownload(self, day, listFilesDown):
        for name in listFilesDown:
            shutil.copy(self.root / day / name, self.folder / name)
