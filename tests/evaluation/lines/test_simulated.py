"""Line fits and 4000 A break in simulated spectra: three arms, resolution, sky, bad pixels."""

from __future__ import annotations

import numpy as np

from mmae.astro.dn4000 import dn4000
from mmae.evaluation.lines import catalogue as cat
from mmae.evaluation.lines.fit import fit_line
from mmae.simulation.seds import Sed
from mmae.simulation.spectrograph import observe
from mmae.survey.schema import SurveySpec
from tests.evaluation.lines.spectra import WAVELENGTH, C

LINES = {
    "oii": ((3727.09, 1.0), (3729.88, 1.35)),
    "oiii": ((4960.30, 1.0), (5008.24, 2.98)),
    "halpha": ((6564.61, 1.0),),
}
# Standard deviation of the line-spread function at these lines, Angstrom.
SPREAD = {"oii": 0.68, "oiii": 0.64, "halpha": 0.74}
CALIBRATION = {"oii": 0.03, "oiii": 0.015, "halpha": 0.015}
REDSHIFT, SPEED, CONTINUUM = 0.3, 140.0, 4.0


def test_lines_of_simulated_spectra_are_recovered():
    rng = np.random.default_rng(4)
    wave = np.arange(2600.0, 9000.0, 5.0)
    members = [(w, f * 6.0) for group in LINES.values() for w, f in group]
    sed = Sed(
        wave,
        np.full(wave.size, CONTINUUM * (1 + REDSHIFT)),
        np.array([w for w, _ in members]),
        np.array([f for _, f in members]),
        SPEED,
    )
    pulls = {key: [] for key in LINES}
    for _ in range(60):
        observed = observe(rng, [(sed, 1.0)], REDSHIFT, SurveySpec())
        for key, group in LINES.items():
            fit = fit_line(cat.LINES[cat.KEYS.index(key)], WAVELENGTH, observed.flux_L, observed.ivar_L, REDSHIFT)
            rest, first = group[-1]
            sigma = np.hypot(rest * (1 + REDSHIFT) * SPEED / C, SPREAD[key])
            total = 6.0 * (sum(f for _, f in group) if key == "oii" else first)
            pulls[key].append(
                [
                    (fit.centre - rest * (1 + REDSHIFT)) / fit.centre_error,
                    (fit.sigma - sigma) / fit.sigma_error,
                    (fit.ew - total / CONTINUUM / (1 + REDSHIFT)) / fit.ew_error,
                    # The flux scale of an arm is uncertain by 1.5 to 3%, which cancels in equivalent widths.
                    (fit.flux - total) / np.hypot(fit.flux_error, CALIBRATION[key] * total),
                ]
            )
    for key, values in pulls.items():
        n = len(values)
        assert np.all(np.abs(np.mean(values, axis=0)) < 4 / np.sqrt(n)), (key, np.mean(values, axis=0))
        assert np.all(np.abs(np.std(values, axis=0) - 1) < 4 / np.sqrt(2 * n)), (key, np.std(values, axis=0))


def test_dn4000_of_a_flat_spectrum_is_one_within_its_error():
    rng = np.random.default_rng(7)
    wave = np.arange(2600.0, 9000.0, 5.0)
    flat = Sed(wave, 2e7 / wave**2, np.empty(0), np.empty(0), 100.0)  # f_nu constant
    observed = [observe(rng, [(flat, 1.0)], 0.3, SurveySpec()) for _ in range(60)]
    value, error = dn4000(
        WAVELENGTH, np.stack([s.flux_L for s in observed]), np.stack([s.ivar_L for s in observed]), np.full(60, 0.3)
    )
    pull = (value - 1) / error
    assert abs(pull.mean()) < 4 / np.sqrt(60) and abs(pull.std() - 1) < 4 / np.sqrt(120)
    assert np.median(error) < 0.05
