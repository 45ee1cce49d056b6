"""Statistics of speckle in multi-look intensity: gamma distributed, mean 1, variance 1 / looks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class SigmaRange:
    """The range of speckle that a sigma filter averages over.

    Parameters
    ----------
    low, high : limits I1 and I2, in units of the reflectivity.
    speckle_variance : variance of the speckle inside the range, whose mean is 1.
    """

    low: float
    high: float
    speckle_variance: float


@lru_cache(maxsize=64)
def sigma_range(looks: float, sigma: float) -> SigmaRange:
    """Return the range that holds a share ``sigma`` of the speckle and keeps its mean at 1.

    Lee et al. (2009) tabulate it for 1 to 4 looks; here it is solved for any
    number of looks. With F_L the distribution function of the gamma distribution of shape L and
    scale 1 / L, moments over a range follow from x f_L(x) = f of shape L + 1:

    F_L(I2) - F_L(I1) = sigma and F_{L+1}(I2) - F_{L+1}(I1) = sigma.

    Parameters
    ----------
    looks : equivalent number of looks, above 0.
    sigma : share of the speckle inside the range, 0..1 (both excluded).
    """
    from scipy.optimize import brentq
    from scipy.stats import gamma

    def share(shape: float, low: float, high: float) -> float:
        inside = gamma.cdf(high, shape, scale=1 / looks) - gamma.cdf(low, shape, scale=1 / looks)
        return float(inside)

    def upper(low: float) -> float:
        held = gamma.cdf(low, looks, scale=1 / looks) + sigma
        return float(gamma.ppf(min(held, 1.0), looks, scale=1 / looks))

    def bias(low: float) -> float:
        return share(looks + 1, low, upper(low)) - sigma

    highest = float(gamma.ppf(1 - sigma, looks, scale=1 / looks))
    low = float(brentq(bias, 0.0, highest, xtol=1e-12))
    high = upper(low)
    # E[v^2] over the range: x^2 f_L(x) = (L + 1) / L times the density of shape L + 2.
    second = (looks + 1) / looks * share(looks + 2, low, high) / sigma
    return SigmaRange(low, high, second - 1.0)
