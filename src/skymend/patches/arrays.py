"""Arrays in files of numpy, which a crash may have damaged."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skymend.core.errors import ProductError

DAMAGE = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error, tokenize.TokenError, SyntaxError),
    *(ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, MemoryError, RuntimeError),
)
"""What numpy raises for a damaged array or archive of arrays."""


def load_array(path: Path, mode: Any) -> npt.NDArray[Any]:
    """Read or map an array.

    Parameters
    ----------
    mode : ``r`` to map it read-only, None to read it.

    Raises
    ------
    ProductError
        if the file is missing or damaged.
    """
    try:
        return np.asarray(np.load(path, mmap_mode=mode, allow_pickle=False))
    except DAMAGE as error:
        raise ProductError(
            where=path,
            expected="a complete .npy array",
            found="no such file" if not path.exists() else str(error)[:160],
            fix="make the dataset again",
        ) from error
