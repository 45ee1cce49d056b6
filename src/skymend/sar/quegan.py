"""Multi-temporal speckle filter of Quegan and Yu (2001)."""

from __future__ import annotations

from skymend.core.encoding import FloatArray


def quegan(stack: FloatArray, window: int = 7) -> FloatArray:
    """Filter a stack of co-registered backscatter images of one orbit and polarisation.

    Parameters
    ----------
    stack : (dates, rows, columns) float32 linear power; NaN where invalid.
    window : odd side in pixels of the window of the local means.

    Returns
    -------
    (dates, rows, columns) float32, NaN where ``stack`` is NaN.
    """
    raise NotImplementedError
