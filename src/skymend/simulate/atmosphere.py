"""Clear air between ground and sensor: path reflectance and transmittance by band.

A single-scattering model: good to a few hundredths in reflectance, which is what a test of
cloud masks needs; it is no radiative-transfer code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skymend.simulate.msi import BANDS

Heights = npt.NDArray[np.float32] | float

_RAYLEIGH_SCALE_M, _AEROSOL_SCALE_M, _VAPOUR_SCALE_M = 8000.0, 1500.0, 2000.0
_OZONE = {"B02": 0.985, "B03": 0.94, "B04": 0.965, "B05": 0.985}


@dataclass(frozen=True, slots=True)
class Air:
    """Clear air over a scene.

    Parameters
    ----------
    sun_zenith : degrees.
    view_zenith : degrees.
    aerosol_depth : optical depth at 550 nm over sea level.
    water_vapour_cm : column over sea level.
    """

    sun_zenith: float
    view_zenith: float = 4.0
    aerosol_depth: float = 0.12
    water_vapour_cm: float = 2.0

    @property
    def airmass(self) -> float:
        """Two-way slant path in vertical columns."""
        return self._slant(self.sun_zenith) + self._slant(self.view_zenith)

    @staticmethod
    def _slant(zenith: float) -> float:
        return float(1 / np.cos(np.radians(zenith)))

    def path(self, band: str, low_m: Heights, high_m: Heights) -> npt.NDArray[np.float32]:
        """Return the reflectance that the air between two heights adds.

        Single scattering, ``tau P / (4 mu0 muv)``: molecules with
        ``P = 3/4 (1 + cos^2)`` and ``tau`` of Hansen & Travis (1974, Space Sci. Rev. 16,
        equation 2.30), aerosols with ``P = 0.25`` towards the back and an Angstrom exponent
        of 1.3.
        """
        mu0, muv = (np.cos(np.radians(a)) for a in (self.sun_zenith, self.view_zenith))
        molecules, aerosols = self._depths(band)
        phase = 0.75 * (1 + (mu0 * muv) ** 2)
        clear = molecules * phase * _share(low_m, high_m, _RAYLEIGH_SCALE_M)
        dusty = aerosols * 0.25 * _share(low_m, high_m, _AEROSOL_SCALE_M)
        scattered = (clear + dusty) / (4 * mu0 * muv)
        gas = self._absorption(band, high_m)
        return np.asarray(scattered / (1 + 2 * scattered) * gas, np.float32)

    def transmittance(self, band: str, low_m: Heights, high_m: Heights) -> npt.NDArray[np.float32]:
        """Return the two-way transmittance between two heights, 0..1.

        Half of what molecules scatter and a sixth of what aerosols scatter is lost; gases
        absorb. The transmittances of layers multiply to that of the whole.
        """
        molecules, aerosols = self._depths(band)
        lost = 0.5 * molecules * _share(low_m, high_m, _RAYLEIGH_SCALE_M)
        lost = lost + 0.16 * aerosols * _share(low_m, high_m, _AEROSOL_SCALE_M)
        gas = self._absorption(band, low_m) / self._absorption(band, high_m)
        return np.asarray(np.exp(-lost * self.airmass) * gas, np.float32)

    def diffuse_share(self, band: str) -> float:
        """Return the share of light at the ground that comes from the sky, not the sun."""
        molecules, aerosols = self._depths(band)
        slant = 1 / np.cos(np.radians(self.sun_zenith))
        scattered = 1 - np.exp(-(0.5 * molecules + 0.5 * aerosols) * slant)
        return float(np.clip(0.02 + scattered, 0, 0.8))

    def _depths(self, band: str) -> tuple[float, float]:
        wavelength = BANDS[band].wavelength_um
        inverse = wavelength**-2
        molecules = 0.008569 * inverse**2 * (1 + 0.0113 * inverse + 0.00013 * inverse**2)
        return molecules, self.aerosol_depth * (wavelength / 0.55) ** -1.3

    def _absorption(self, band: str, height_m: Heights) -> npt.NDArray[np.float32]:
        """Return the two-way transmittance of gases from a height to space.

        Water vapour takes nearly all of B10 from below 4 km, so that only cirrus, high
        ground and deep clouds are seen there, and a good part of B09.
        """
        vapour = self.water_vapour_cm * np.exp(-np.asarray(height_m) / _VAPOUR_SCALE_M)
        column = np.sqrt(vapour * self.airmass)
        strength = {"B10": 6.0, "B09": 0.55, "B05": 0.02, "B11": 0.025, "B12": 0.035}
        clear = np.exp(-strength.get(band, 0.008) * column)
        return np.asarray(clear * _OZONE.get(band, 1.0), np.float32)


def _share(low_m: Heights, high_m: Heights, scale_m: float) -> npt.NDArray[np.float64]:
    """Return the share of a column between two heights; it thins out exponentially."""
    low, high = (np.exp(-np.asarray(z, np.float64) / scale_m) for z in (low_m, high_m))
    return np.asarray(np.clip(low - high, 0, None))
