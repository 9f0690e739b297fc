"""Pipeline redshifts: measurement errors, ZWARN flags and line misidentifications.

ZWARN and failure modes as in redrock (Guy+2023, section 6; Ross, Bailey et al.).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmae.astro.lines import CIII, CIV, HALPHA_WAVE, HBETA_WAVE, LYMAN_ALPHA, MGII, OII_RED, OIII_RED

# Redshift error / (1 + z): DESI Collaboration 2024 (early data release).
GALAXY_ERROR, QUASAR_ERROR = 5e-5, 5e-4
# Fraction of redshifts flagged by redrock, and fraction that is wrong but not flagged. From visual
# inspection: Lan+2023 (galaxies: at most 0.5% wrong, 1 to 2% flagged; ELG more) and Alexander+2023 (quasars); FIELD as
# ELG.
FLAGGED = {"MAIN": 0.005, "BGS": 0.01, "LRG": 0.012, "ELG": 0.05, "QSO": 0.02, "FIELD": 0.05}
WRONG = {"MAIN": 0.0005, "BGS": 0.001, "LRG": 0.002, "ELG": 0.004, "QSO": 0.005, "FIELD": 0.004}
SMALL_DELTA_CHI2 = 4  # ZWARN bit 2: a second redshift fits nearly as well

# Lines confused with one another, Angstrom.
GALAXY_CONFUSION = (OII_RED, HBETA_WAVE, OIII_RED, HALPHA_WAVE)
QUASAR_CONFUSION = (LYMAN_ALPHA, CIV, CIII, MGII)
# Redshift limits: galaxy templates of redrock 1.7; survey (as GalaxiesML) 4.
GALAXY_REDSHIFT_MAX, QUASAR_REDSHIFT_MAX = 1.7, 4.0


@dataclass(frozen=True)
class Label:
    """A measured redshift."""

    redshift: float
    error: float
    zwarn: int
    wrong: bool  # catastrophic error, flagged or not


def measure_redshift(rng: np.random.Generator, target_class: str, redshift: float) -> Label:
    """Simulated pipeline redshift of a target."""
    is_quasar = target_class == "QSO"
    error = (QUASAR_ERROR if is_quasar else GALAXY_ERROR) * (1 + redshift)
    measured = max(redshift + error * rng.standard_normal(), 0.0)
    chance, confused = rng.random(), _confused_redshift(rng, redshift, is_quasar)
    if chance < WRONG[target_class]:
        return Label(confused, error, 0, True)
    if chance < WRONG[target_class] + FLAGGED[target_class]:
        return Label(confused, error, SMALL_DELTA_CHI2, True)
    return Label(measured, error, 0, False)


def _confused_redshift(rng: np.random.Generator, redshift: float, is_quasar: bool) -> float:
    """Redshift from identifying one line as another, chosen at random."""
    lines = QUASAR_CONFUSION if is_quasar else GALAXY_CONFUSION
    limit = QUASAR_REDSHIFT_MAX if is_quasar else GALAXY_REDSHIFT_MAX
    options = [(1 + redshift) * true / taken - 1 for true in lines for taken in lines if true != taken]
    return float(rng.choice([z for z in options if 0 < z < limit]))
