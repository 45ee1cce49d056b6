"""python-fmask, where it is installed: run as a program of its own, its raster read.

python-fmask is GPL-3; skymend neither imports nor contains it. Its command for Sentinel-2 reads
a level-1C SAFE folder and writes one raster with the codes 0 null, 1 clear, 2 cloud, 3 shadow,
4 snow, 5 water: the same numbers as skymend's labels.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skymend.clouds.masker import Mask, Maskable
from skymend.core.errors import ProductError, ToolMissingError
from skymend.core.raster import describe, read_labels
from skymend.products.labels import Label
from skymend.products.toa import ToaOptical

COMMANDS = ("fmask_sentinel2Stacked", "fmask_sentinel2Stacked.py")
"""Names the program goes by."""

VARIABLE = "SKYMEND_FMASK"
"""Environment variable with another command line, such as one that runs a container."""

_HOURS = 3


@dataclass(frozen=True, slots=True)
class ExternalFmaskMasker:
    """The ``fmask-external`` engine.

    Parameters
    ----------
    min_cloud_px, probability_percent : the program's ``--mincloudsize`` and
        ``--cloudprobthreshold``.
    """

    name: str = "fmask-external"
    min_cloud_px: int = 30
    probability_percent: int = 20

    def mask(
        self,
        product: Maskable,
        *,
        resolution_m: float = 20.0,
        dem: Path | None = None,
        cpus: int = 1,
    ) -> Mask:
        """Mask a Sentinel-2 L1C SAFE folder, always at the program's own 20 m.

        Raises
        ------
        ToolMissingError
            if there is no such program.
        ProductError
            if the product is no SAFE folder, or the program fails on it.
        """
        toa = product.product if isinstance(product, ToaOptical) else product
        path = getattr(toa, "path", None)
        if path is None or path.suffix != ".SAFE":
            raise ProductError(
                where=product.id,
                expected="a Sentinel-2 level-1C SAFE folder for fmask-external",
                found="another product",
                fix="give the SAFE folder, or choose another mask engine",
            )
        with tempfile.TemporaryDirectory(prefix="skymend-fmask-") as folder:
            image = self._run(path, Path(folder))
            grid = describe(image).grid
            labels = read_labels(image)
        if labels.max(initial=0) > Label.WATER:
            raise _failed(path, f"a label {labels.max()}, which no mask has")
        nothing = np.full(grid.shape, np.nan, np.float32)
        return Mask(labels, np.zeros(grid.shape, bool), nothing, grid, {"program": command()[0]})

    def _run(self, safe: Path, folder: Path) -> Path:
        image = folder / "fmask.tif"
        arguments = [*command(), "-o", str(image), "--safedir", str(safe)]
        arguments += ["--mincloudsize", str(self.min_cloud_px)]
        arguments += ["--cloudprobthreshold", str(self.probability_percent)]
        # Its raster library takes the format of what it writes from here.
        environment = {**os.environ, "RIOS_DFLT_DRIVER": "GTiff", "TMPDIR": str(folder)}
        try:
            done = subprocess.run(
                arguments,
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_HOURS * 3600,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _failed(safe, f"nothing after {_HOURS} hours") from error
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip().splitlines()
            last = words[-1][:200] if words else "no word"
            raise _failed(safe, f"exit code {done.returncode}: {last}")
        if not image.exists():
            raise _failed(safe, "exit code 0 but no raster")
        return image


def command() -> list[str]:
    """Return the command line of the program, without its arguments.

    Raises
    ------
    ToolMissingError
        if it is not installed.
    """
    own = os.environ.get(VARIABLE)
    if own:
        return shlex.split(own)
    for name in COMMANDS:
        found = shutil.which(name)
        if found:
            return [found]
    raise ToolMissingError(
        where="mask.engine fmask-external",
        expected=f"python-fmask's command {COMMANDS[0]} on the PATH, or {VARIABLE}",
        found="neither",
        fix="install python-fmask (GPL-3) apart from skymend, or use engine fmask",
    )


def _failed(safe: Path, found: str) -> ProductError:
    return ProductError(
        where=safe,
        expected="a mask from python-fmask",
        found=found,
        fix="run the command by hand to see why, or use engine fmask",
    )
