"""Which spectral lines are measured, and which of them are fitted together.

Narrow lines have the vacuum wavelengths and the doublet ratios of the simulation, which cites them.

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

# Around a redshift label, km/s. Beyond 943 km/s H-alpha could be taken for its neighbour [N II]; the
# blueshift of C IV reaches some 3000 km/s (Richards+2011).
SHIFT_LIMIT: dict[Kind, float] = {"narrow": 600.0, "broad": 5000.0}
# Standard deviations from which a fit may start, km/s: narrow ones up to what a blurred reconstruction has.
STARTING_SPREADS: dict[Kind, tuple[float, ...]] = {
    "narrow": (70.0, 150.0, 320.0, 700.0),
    "broad": (1200.0, 2500.0, 5000.0),
}
# A line of larger FWHM comes from the broad-line region of an active nucleus (Hao+2005): not narrow.
BROAD_FROM_FWHM = 1200.0  # km/s
# A Gaussian wider than half of half the window cannot be told from the continuum under it.
WIDEST_IN_HALF_WINDOWS = 0.5


@dataclass(frozen=True)
class Line:
    """A line, or a doublet of fixed flux ratio that is told as one.

    Attributes:
        key: short name, of letters and underscores.
        label: as figures write it.
        members: vacuum rest wavelength in Angstrom and flux of each transition; the first is the one
            whose centre, width and amplitude are given.
        total: the flux is that of all members, otherwise of the first.
        truth: name among LINE_NAMES of the simulation, of the same flux; "" where there is none.
    """

    key: str
    label: str
    members: tuple[tuple[float, float], ...]
    total: bool = False
    truth: str = ""

    @property
    def wavelength(self) -> float:
        """Of the first member: Angstrom, vacuum, at rest."""
        return self.members[0][0]

    @property
    def flux_factor(self) -> float:
        """The line's flux over that of its first member."""
        return sum(flux for _, flux in self.members) / self.members[0][1] if self.total else 1.0


@dataclass(frozen=True)
class Blend:
    """Lines fitted together: one shift, one width (both in km/s), a linear continuum.

    Attributes:
        window: rest wavelengths from which to which is fitted, Angstrom.
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
        """Amplitude of each member over that of its line; 0 for members of other lines.

        Widths are equal in km/s, so that in Angstrom they grow with wavelength and of two members
        of equal flux the redder is the lower.
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
        return WIDEST_IN_HALF_WINDOWS * (high - low) / (high + low) * lines.LIGHT_SPEED_KMS


OII = Line("oii", "[O II]", ((lines.OII_RED, lines.OII_RATIO), (lines.OII_BLUE, 1.0)), True, "oii_doublet")
HBETA = Line("hbeta", r"H$\beta$", ((lines.HBETA_WAVE, 1.0),), truth="hbeta")
OIII = Line("oiii", "[O III]", ((lines.OIII_RED, lines.OIII_RATIO), (lines.OIII_BLUE, 1.0)), truth="oiii_5007")
HALPHA = Line("halpha", r"H$\alpha$", ((lines.HALPHA_WAVE, 1.0),), truth="halpha")
NII = Line("nii", "[N II]", ((lines.NII_RED, lines.NII_RATIO), (lines.NII_BLUE, 1.0)), truth="nii_6584")
SII = Line("sii", "[S II] 6718", ((lines.SII_BLUE, 1.0),), truth="sii_6716")
# A ratio that depends on density: its own amplitude.
SII_SECOND = Line("sii_second", "[S II] 6733", ((lines.SII_RED, 1.0),))
LYA = Line("lya", r"Ly$\alpha$", ((lines.LYMAN_ALPHA, 1.0),))
CIV_LINE = Line("civ", "C IV", ((lines.CIV, 1.0),))
CIII_LINE = Line("ciii", "C III]", ((lines.CIII, 1.0),))
MGII_LINE = Line("mgii", "Mg II", ((lines.MGII, 1.0),))

# Windows keep clear of the next strong line.
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
# Those that the project has targets for.
JUDGED = ("halpha", "oii", "oiii", "lya", "civ")


def blend_of(line: Line) -> Blend:
    """The blend that a line is fitted in."""
    return next(blend for blend in BLENDS if line in blend.lines)


def resolution_element(wavelength: np.ndarray | float) -> np.ndarray:
    """FWHM in Angstrom of DESI's line-spread function; where two arms see a wavelength, the mean.

    The coadd is the weighted mean of the arms. Outside all arms that of the nearest.
    """
    wavelength = np.asarray(wavelength, np.float64)
    held = np.clip(wavelength, ARMS[0].start, ARMS[-1].stop)
    seen = np.stack([(held >= arm.start) & (held <= arm.stop) for arm in ARMS])
    sigma = np.stack([line_spread_sigma(arm, held) for arm in ARMS])
    return SIGMA_TO_FWHM * (sigma * seen).sum(axis=0) / seen.sum(axis=0)
