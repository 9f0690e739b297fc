"""Injected lines with known parameters, written out independently of the tested code."""

from __future__ import annotations

import numpy as np

from mmae.evaluation.lines import catalogue as cat
from tests.evaluation.lines.spectra import WAVELENGTH, C, line

REDSHIFT_OF = {
    "lya": 2.6,
    "civ": 2.3,
    "ciii": 1.7,
    "mgii": 0.95,
    "oii": 0.6,
    "hbeta": 0.25,
    "oiii": 0.3,
    "halpha": 0.2,
    "nii": 0.2,
    "sii": 0.2,
    "sii_second": 0.2,
}
FLAT = np.full(WAVELENGTH.size, 100.0)  # ivar
NAMES = ("centre", "sigma", "amplitude", "flux", "continuum", "ew")


def speed_of(tested: cat.Line) -> float:
    return 130.0 if cat.blend_of(tested).kind == "narrow" else 2600.0


def cropped(blend: cat.Blend, redshift: float) -> slice:
    """Samples around a blend: the fits are those of the whole spectrum, in less time."""
    low, high = np.multiply(blend.window, ((1 + redshift) * 0.96, (1 + redshift) * 1.04))
    return slice(*np.searchsorted(WAVELENGTH, (low, high)))


def injected(
    tested: cat.Line, redshift: float, flux: float, speed: float, shift: float = 0.0, near: slice = slice(None)
) -> np.ndarray:
    """Spectrum of all members of a line; `flux` is that of the first."""
    share = {"oii": 1 / 1.35, "oiii": 1 / 2.98, "nii": 1 / 3.05}.get(tested.key)
    total = line(tested.members[0][0], redshift, speed, flux, shift, near)
    if share is not None:
        total = total + line(tested.members[1][0], redshift, speed, flux * share, shift, near)
    return total


def truth_of(
    tested: cat.Line, redshift: float, flux: float, speed: float, shift: float, level: np.ndarray | None = None
) -> dict[str, float]:
    centre = tested.members[0][0] * (1 + redshift) * (1 + shift / C)
    sigma = tested.members[0][0] * (1 + redshift) * speed / C
    under = 2.0 * (centre / 6000.0) ** -0.7 if level is None else float(np.interp(centre, WAVELENGTH, level))
    total = flux * (1 + 1 / 1.35 if tested.key == "oii" else 1)
    return {
        "centre": centre,
        "sigma": sigma,
        "amplitude": flux / sigma / np.sqrt(2 * np.pi),
        "flux": total,
        "continuum": under,
        "ew": total / under / (1 + redshift),
    }


def check_pulls(pulls: np.ndarray, names=NAMES) -> None:
    """Mean 0 and standard deviation 1, each within four of its standard errors."""
    n = len(pulls)
    for name, pull in zip(names, pulls.T, strict=True):
        assert abs(pull.mean()) < 4 / np.sqrt(n), (name, pull.mean())
        assert abs(pull.std() - 1) < 4 / np.sqrt(2 * n), (name, pull.std())
