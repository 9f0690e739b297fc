"""The measured spectral lines and the blends in which they are fitted.

Vacuum wavelengths and doublet ratios of narrow lines are those of `mmae.astro.lines`, with citations.

Shape suffixes: J members (single transitions), G lines of a blend.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from mmae.astro import lines
from mmae.astro.desi import ARMS, line_spread_sigma

SIGMA_TO_FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))

Kind = Literal["narrow", "broad"]

# Maximum |shift| from the redshift label, km/s. Above 943 km/s H-alpha could be confused with [N II]; the
# blueshift of C IV reaches about 3000 km/s (Richards+2011).
SHIFT_LIMIT: dict[Kind, float] = {"narrow": 600.0, "broad": 5000.0}
# Starting standard deviations of a fit, km/s; those of narrow lines include the width in a blurred reconstruction.
STARTING_SPREADS: dict[Kind, tuple[float, ...]] = {
    "narrow": (70.0, 150.0, 320.0, 700.0),
    "broad": (1200.0, 2500.0, 5000.0),
}
# Lines with a larger FWHM are from the broad-line region of an active nucleus (Hao+2005).
BROAD_FROM_FWHM = 1200.0  # km/s
# Maximum sigma in units of half the window: a wider Gaussian is degenerate with the continuum.
MAX_SIGMA_HALF_WINDOWS = 0.5


@dataclass(frozen=True)
class Line:
    """A line, or a doublet of fixed flux ratio that is reported as one line.

    Attributes:
        key: name in tables, of letters and underscores.
        label: label in figures.
        members: vacuum rest wavelength in Angstrom and relative flux of each transition; centre, width and
            amplitude are those of the first.
        total: True: the flux is that of all members; False: that of the first.
        truth: name in LINE_NAMES of the simulation with the same flux; "" if there is none.
    """

    key: str
    label: str
    members: tuple[tuple[float, float], ...]
    total: bool = False
    truth: str = ""

    @property
    def wavelength(self) -> float:
        """Vacuum rest wavelength of the first member, Angstrom."""
        return self.members[0][0]

    @property
    def flux_factor(self) -> float:
        """Flux of the line over the flux of its first member."""
        return sum(flux for _, flux in self.members) / self.members[0][1] if self.total else 1.0


@dataclass(frozen=True)
class Blend:
    """Lines fitted together with one shift, one width (both in km/s) and a linear continuum.

    Attributes:
        window: rest-frame fit range (low, high), Angstrom.
    """

    lines: tuple[Line, ...]
    kind: Kind
    window: tuple[float, float]

    @cached_property
    def wavelength_J(self) -> np.ndarray:
        """Vacuum rest wavelengths of all members of all lines, Angstrom."""
        return np.array([wavelength for line in self.lines for wavelength, _ in line.members])

    @cached_property
    def amplitude_GJ(self) -> np.ndarray:
        """Amplitude of each member over that of the first member of its line; 0 for members of other lines.

        Widths are equal in km/s and proportional to wavelength in Angstrom, so of two members
        of equal flux the redder has the lower amplitude.
        """
        rows = np.zeros((len(self.lines), self.wavelength_J.size))
        j = 0
        for row, line in zip(rows, self.lines, strict=True):
            first, first_flux = line.members[0]
            for wavelength, flux in line.members:
                row[j] = flux / first_flux * first / wavelength
                j += 1
        return rows

    @property
    def widest(self) -> float:
        """Largest standard deviation of a fit, km/s."""
        low, high = self.window
        return MAX_SIGMA_HALF_WINDOWS * (high - low) / (high + low) * lines.LIGHT_SPEED_KMS


OII = Line("oii", "[O II]", ((lines.OII_RED, lines.OII_RATIO), (lines.OII_BLUE, 1.0)), True, "oii_doublet")
HBETA = Line("hbeta", r"H$\beta$", ((lines.HBETA_WAVE, 1.0),), truth="hbeta")
OIII = Line("oiii", "[O III]", ((lines.OIII_RED, lines.OIII_RATIO), (lines.OIII_BLUE, 1.0)), truth="oiii_5007")
HALPHA = Line("halpha", r"H$\alpha$", ((lines.HALPHA_WAVE, 1.0),), truth="halpha")
NII = Line("nii", "[N II]", ((lines.NII_RED, lines.NII_RATIO), (lines.NII_BLUE, 1.0)), truth="nii_6584")
SII = Line("sii", "[S II] 6718", ((lines.SII_BLUE, 1.0),), truth="sii_6716")
# The [S II] ratio depends on density, so the second line has its own amplitude.
SII_SECOND = Line("sii_second", "[S II] 6733", ((lines.SII_RED, 1.0),))
LYA = Line("lya", r"Ly$\alpha$", ((lines.LYMAN_ALPHA, 1.0),))
CIV_LINE = Line("civ", "C IV", ((lines.CIV, 1.0),))
CIII_LINE = Line("ciii", "C III]", ((lines.CIII, 1.0),))
MGII_LINE = Line("mgii", "Mg II", ((lines.MGII, 1.0),))

# Windows exclude the neighbouring strong lines.
BLENDS = (
    Blend((LYA,), "broad", (1150.0, 1290.0)),
    Blend((CIV_LINE,), "broad", (1480.0, 1620.0)),
    Blend((CIII_LINE,), "broad", (1815.0, 2000.0)),
    Blend((MGII_LINE,), "broad", (2660.0, 2940.0)),
    Blend((OII,), "narrow", (3690.0, 3766.0)),
    Blend((HBETA,), "narrow", (4800.0, 4925.0)),
    Blend((OIII,), "narrow", (4905.0, 5065.0)),
    Blend((HALPHA, NII), "narrow", (6440.0, 6690.0)),
    Blend((SII, SII_SECOND), "narrow", (6640.0, 6810.0)),
)
LINES = tuple(line for blend in BLENDS for line in blend.lines)
KEYS = tuple(line.key for line in LINES)
# Lines with targets.
JUDGED = ("halpha", "oii", "oiii", "lya", "civ")


def blend_of(line: Line) -> Blend:
    """The blend that contains a line."""
    return next(blend for blend in BLENDS if line in blend.lines)


def resolution_element(wavelength: np.ndarray | float) -> np.ndarray:
    """FWHM of DESI's line-spread function, Angstrom; the mean of two arms where they overlap.

    The coadd is the weighted mean of the arms. Outside all arms, the value at the nearest edge.
    """
    wavelength = np.asarray(wavelength, np.float64)
    clipped = np.clip(wavelength, ARMS[0].start, ARMS[-1].stop)
    in_arm = np.stack([(clipped >= arm.start) & (clipped <= arm.stop) for arm in ARMS])
    sigma = np.stack([line_spread_sigma(arm, clipped) for arm in ARMS])
    return SIGMA_TO_FWHM * (sigma * in_arm).sum(axis=0) / in_arm.sum(axis=0)
