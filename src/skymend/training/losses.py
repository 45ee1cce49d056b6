"""Losses that look only where a target is known.

The truth tensor holds the target bands and, as its last channel, a weight per pixel; what
has weight 0 carries no gradient, whatever its value. The prediction holds the mean and, for
nets with an uncertainty head, sigma behind it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

Likelihood = Literal["laplace", "gaussian"]
Loss = Callable[[Any, Any], Any]


def masked_l1(bands: int) -> Loss:
    """Return the weighted mean of ``|target - mean|`` over pixels and bands.

    Parameters
    ----------
    bands : channels of the target.

    Returns
    -------
    ``loss(truth, prediction)`` with truth (batch, rows, columns, bands + 1) and prediction
    (batch, rows, columns, bands or more), both finite. With weights above 1 under clouds it
    is the cloud-weighted loss after CARL (Meraner et al. 2020, section 3.2).
    """

    def loss(truth: Any, prediction: Any) -> Any:
        distance, weight, _ = _parts(truth, prediction, bands)
        return _weighted_mean(distance, weight, bands)

    return loss


def masked_nll(bands: int, likelihood: Likelihood = "laplace", share: float = 0.1) -> Loss:
    """Return :func:`masked_l1` plus the negative log-likelihood of sigma.

    Sigma learns from the errors of the mean, the mean not from sigma (its gradient is
    stopped), so that an uncertainty head costs no accuracy.

    Parameters
    ----------
    likelihood : ``laplace``: ``sqrt(2) |e| / sigma + log sigma``; ``gaussian``:
        ``e**2 / (2 sigma**2) + log sigma``; constants left out.
    share : factor of the likelihood.
    """

    def loss(truth: Any, prediction: Any) -> Any:
        from keras import ops

        distance, weight, sigma = _parts(truth, prediction, bands)
        fixed = ops.stop_gradient(distance)
        if likelihood == "laplace":
            nll = math.sqrt(2) * fixed / sigma + ops.log(sigma)
        else:
            nll = 0.5 * ops.square(fixed / sigma) + ops.log(sigma)
        l1 = _weighted_mean(distance, weight, bands)
        return l1 + share * _weighted_mean(nll, weight, bands)

    return loss


def _parts(truth: Any, prediction: Any, bands: int) -> tuple[Any, Any, Any]:
    from keras import ops

    distance = ops.abs(truth[..., :bands] - prediction[..., :bands])
    return distance, truth[..., bands : bands + 1], prediction[..., bands : 2 * bands]


def _weighted_mean(values: Any, weight: Any, bands: int) -> Any:
    from keras import ops

    total = ops.maximum(ops.sum(weight) * bands, 1e-6)
    return ops.sum(values * weight) / total
