"""Spectrograph: resolution, noise, ivar and arms, also against real DESI coadds."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import gaussian_filter1d, percentile_filter

from mmae.astro.desi import ARMS, line_spread_sigma
from mmae.astro.lines import LIGHT_SPEED_KMS
from mmae.simulation import spectrograph
from mmae.simulation.seds import Sed
from mmae.simulation.spectrograph import blank_variance, observe
from mmae.survey.schema import SurveySpec
from tests.ingest.files import SHARED_GALAXIES, needs_shared

SPEC = SurveySpec()
WAVELENGTH_L = SPEC.wavelength_L()
EMPTY = np.empty(0)
STEP = SPEC.wavelength_step


def flat(level: float = 1.0, lines: tuple[tuple[float, float], ...] = (), sigma: float = 60.0) -> Sed:
    wavelength_W = np.geomspace(500.0, 12000.0, 400)
    line_J, flux_J = np.array(lines).T if lines else (EMPTY, EMPTY)
    return Sed(wavelength_W, np.full(400, level), line_J, flux_J, sigma)


@pytest.fixture
def calibrated(monkeypatch) -> None:
    """Arms without flux calibration scatter, for comparisons with an exact flux."""
    arms = tuple(dataclasses.replace(arm, calibration_scatter=0.0) for arm in ARMS)
    monkeypatch.setattr(spectrograph, "ARMS", arms)
    spectrograph._arm_grids.cache_clear()
    yield
    spectrograph._arm_grids.cache_clear()


def near(wavelength: float, reach: float) -> np.ndarray:
    return np.abs(WAVELENGTH_L - wavelength) < reach


def line_only(rng_seed: int, rest: float, flux: float, sigma: float, redshift: float) -> np.ndarray:
    rng = np.random.default_rng(rng_seed)
    return observe(rng, [(flat(0.0, ((rest, flux),), sigma), 1.0)], redshift, SPEC).true_L


# --- signal -----------------------------------------------------------------------------------


def test_oii_doublet_is_resolved():
    oii = flat(0.1, ((3727.09, 20.0), (3729.88, 27.0)), sigma=50.0)
    true_L = observe(np.random.default_rng(0), [(oii, 1.0)], 0.9, SPEC).true_L
    peaks = [true_L[near(rest * 1.9, 1.0)].max() for rest in (3727.09, 3729.88)]
    dip = true_L[near(3728.485 * 1.9, 1.0)].min()
    assert dip < 0.9 * min(peaks)
    assert peaks[1] > peaks[0]


@pytest.mark.parametrize("rest, redshift", [(3728.0, 0.1), (5008.24, 0.31), (6564.61, 0.40)])
def test_centroid_flux_and_width_of_a_line(calibrated, rest, redshift):
    """One line in each arm, outside the overlaps."""
    centre = rest * (1 + redshift)
    true_L = line_only(1, rest, 30.0, 120.0, redshift)
    flux = true_L.sum() * STEP
    mean = (true_L * WAVELENGTH_L).sum() / true_L.sum()
    width = np.sqrt((true_L * (WAVELENGTH_L - mean) ** 2).sum() / true_L.sum())
    arm = next(a for a in ARMS if a.start + 60 < centre < a.stop - 60)
    expected = np.hypot(centre * 120.0 / LIGHT_SPEED_KMS, line_spread_sigma(arm, centre))
    assert flux == pytest.approx(30.0, rel=1e-3)
    assert abs(mean - centre) < 0.1 * STEP
    assert width == pytest.approx(expected, rel=0.01)


def test_unresolved_line_has_the_width_of_the_line_spread_function(calibrated):
    for arm in ARMS:
        centre = (arm.start + arm.stop) / 2 + 0.31
        true_L = line_only(2, centre, 5.0, 0.0, 0.0)
        mean = (true_L * WAVELENGTH_L).sum() / true_L.sum()
        width = np.sqrt((true_L * (WAVELENGTH_L - mean) ** 2).sum() / true_L.sum())
        # Lines have a minimum sigma of 16 km/s (at 3600 A): slightly wider than the LSF alone.
        assert 1.0 < width / line_spread_sigma(arm, centre) < 1.2
        assert true_L.sum() * STEP == pytest.approx(5.0, rel=1e-3)


def test_line_spread_function_applies_to_the_continuum(calibrated):
    wavelength_W = np.array([500.0, 4999.99, 5000.01, 12000.0])
    edge = Sed(wavelength_W, np.array([0.0, 0.0, 1.0, 1.0]), EMPTY, EMPTY, 100.0)
    true_L = observe(np.random.default_rng(3), [(edge, 1.0)], 0.0, SPEC).true_L
    slope_L = np.gradient(true_L[near(5000, 12)])
    x_L = WAVELENGTH_L[near(5000, 12)]
    mean = (slope_L * x_L).sum() / slope_L.sum()
    width = np.sqrt((slope_L * (x_L - mean) ** 2).sum() / slope_L.sum())
    # The derivative of a step is the line-spread function; np.gradient averages over two samples.
    assert width == pytest.approx(np.hypot(line_spread_sigma(ARMS[0], 5000.0), STEP / np.sqrt(3)), rel=0.03)
    assert true_L[near(4500, 50)].max() < 1e-9 and true_L[near(5500, 50)].min() > 0.999


def test_components_add_with_their_fibre_fractions(calibrated):
    bulge, disk = flat(2.0), flat(1.0, ((6564.61, 40.0),))
    both = observe(np.random.default_rng(4), [(bulge, 0.3), (disk, 0.6)], 0.1, SPEC).true_L
    alone = [observe(np.random.default_rng(4), [(part, 1.0)], 0.1, SPEC).true_L for part in (bulge, disk)]
    np.testing.assert_allclose(both, 0.3 * alone[0] + 0.6 * alone[1], atol=2e-3)
    assert observe(np.random.default_rng(4), [], 0.1, SPEC).true_L.max() == 0


# --- noise ------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.0, 30.0])  # sky noise; photon noise
def test_pulls_are_standard_normal(level):
    pulls = []
    for seed in range(25):
        observed = observe(np.random.default_rng(seed), [(flat(level), 1.0)], 0.0, SPEC)
        good_L = observed.ivar_L > 0
        pulls.append(((observed.flux_L - observed.true_L) * np.sqrt(observed.ivar_L))[good_L])
    pulls = np.concatenate(pulls)
    assert abs(pulls.mean()) < 0.01
    assert pulls.std() == pytest.approx(1.0, abs=0.01)
    assert np.mean(np.abs(pulls) > 3) == pytest.approx(0.0027, abs=0.0006)


def test_noise_of_adjacent_samples_is_uncorrelated():
    observed = observe(np.random.default_rng(0), [(flat(), 1.0)], 0.0, SPEC)
    pull_L = (observed.flux_L - observed.true_L) * np.sqrt(observed.ivar_L)
    assert abs(np.corrcoef(pull_L[1:], pull_L[:-1])[0, 1]) < 0.05


def test_spectra_depend_on_the_seed_only():
    one, again, other = (observe(np.random.default_rng(s), [(flat(), 1.0)], 0.2, SPEC) for s in (5, 5, 6))
    assert np.array_equal(one.flux_L, again.flux_L) and np.array_equal(one.ivar_L, again.ivar_L)
    assert not np.array_equal(one.flux_L, other.flux_L)
    # Effective times differ between spectra.
    assert np.median(one.ivar_L) != pytest.approx(np.median(other.ivar_L), rel=1e-3)
    assert one.flux_L.dtype == one.ivar_L.dtype == np.float32 and one.true_L.dtype == np.float64


def test_ivar_in_an_overlap_is_the_sum_of_both_arms(monkeypatch):
    monkeypatch.setattr(spectrograph, "TIME_SCATTER", 0.0)
    arms = tuple(dataclasses.replace(arm, time_scatter=0.0) for arm in ARMS)
    monkeypatch.setattr(spectrograph, "ARMS", arms)
    spectrograph._arm_grids.cache_clear()
    try:
        ivar_L = observe(np.random.default_rng(1), [(flat(0.0), 1.0)], 0.0, SPEC).ivar_L
    finally:
        spectrograph._arm_grids.cache_clear()
    for blue, red in itertools.pairwise(ARMS):
        overlap_L = (WAVELENGTH_L > red.start) & (WAVELENGTH_L < blue.stop)
        parts = [1 / blank_variance(arm, WAVELENGTH_L[overlap_L]) for arm in (blue, red)]
        good = ivar_L[overlap_L] > 0.99 * sum(parts)
        assert good.mean() > 0.9
        np.testing.assert_allclose(ivar_L[overlap_L][good], sum(parts)[good], rtol=1e-5)
        # Outside the overlap: one arm.
        before = (WAVELENGTH_L > red.start - 10) & (WAVELENGTH_L < red.start - 1)
        np.testing.assert_allclose(
            np.median(ivar_L[before] * blank_variance(blue, WAVELENGTH_L[before])), 1.0, rtol=1e-5
        )


def test_bad_samples():
    bad = np.array([observe(np.random.default_rng(s), [(flat(), 1.0)], 0.0, SPEC).ivar_L == 0 for s in range(60)])
    # Per arm 0.1% and one cosmic ray of 3 in 2300 to 2900 samples; fewer where arms overlap.
    assert 0.001 < bad.mean() < 0.004
    observed = observe(np.random.default_rng(0), [(flat(), 1.0)], 0.0, SPEC)
    assert (observed.flux_L[observed.ivar_L == 0] == 0).all()
    # true_L is defined at bad samples.
    assert np.abs(observed.true_L - 1.0).max() < 0.2
    assert np.isfinite(observed.flux_L).all() and np.isfinite(observed.ivar_L).all()


def test_noise_increases_to_the_blue_and_on_sky_lines():
    sigma_L = (
        np.median([observe(np.random.default_rng(s), [(flat(0.0), 1.0)], 0.0, SPEC).ivar_L for s in range(5)], axis=0)
        ** -0.5
    )

    def median(low: float, high: float) -> float:
        return float(np.median(sigma_L[(WAVELENGTH_L > low) & (WAVELENGTH_L < high)]))

    assert median(3600, 3700) > 2 * median(3800, 4000) > 3 * median(4800, 5400)
    assert median(5550, 5570) < 0.3 * sigma_L[near(5578.9, 0.5)].max()  # [O I]
    assert median(9000, 9003) < 0.4 * sigma_L[near(8922.0, 0.5)].max()  # OH
    assert median(9378, 9379) > 5 * median(9260, 9300)


def test_noise_depends_on_exposure_time_and_source_flux():
    def ivar(level: float, time: float) -> float:
        observed = observe(np.random.default_rng(0), [(flat(level), 1.0)], 0.0, SPEC, time)
        return float(np.median(observed.ivar_L))

    assert ivar(0.0, 4000.0) == pytest.approx(4 * ivar(0.0, 1000.0), rel=1e-4)
    assert ivar(0.0, spectrograph.BRIGHT_TIME) == pytest.approx(0.18 * ivar(0.0, 1000.0), rel=1e-4)
    assert ivar(20.0, 1000.0) < 0.4 * ivar(0.0, 1000.0)


@pytest.mark.parametrize(
    "spec",
    [
        dataclasses.replace(SPEC, n_wavelengths=16),
        dataclasses.replace(SPEC, wavelength_start=5790.0, wavelength_step=1.0, n_wavelengths=40),
        dataclasses.replace(SPEC, wavelength_start=1000.0, wavelength_step=25.0, n_wavelengths=500),
        dataclasses.replace(SPEC, wavelength_start=100.0, n_wavelengths=5),
    ],
    ids=["few", "overlap", "coarse", "outside"],
)
def test_other_linear_grids(spec):
    observed = observe(np.random.default_rng(0), [(flat(3.0), 1.0)], 0.0, spec)
    wavelength_L = spec.wavelength_L()
    inside_L = (wavelength_L >= ARMS[0].start) & (wavelength_L <= ARMS[-1].stop)
    assert len(observed.true_L) == len(observed.flux_L) == len(observed.ivar_L) == spec.n_wavelengths
    assert (observed.ivar_L[~inside_L] == 0).all() and (observed.true_L[~inside_L] == 0).all()
    assert np.abs(observed.true_L[inside_L] - 3.0).max(initial=0) < 0.5
    assert np.isfinite(observed.flux_L).all()


# --- real coadds ------------------------------------------------------------------------------

QUASARS = "desi_coadd-1-80693-thru20210204.fits"
GALAXY = "desi_coadd-4-80613-thru20210324.fits"
# Effective time of the galaxy coadd in seconds: 12.15 x TSNR2_LRG (Guy+2023), TSNR2_LRG = 241.94 in the file.
# The quasar file has no TSNR2_LRG: 1.6 times the galaxy coadd, from the ratio of the z arms.
GALAXY_TIME, QUASAR_TIME = 12.15 * 241.94, 4800.0


def real_arm(name: str, arm: int, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelength_A, noise variance of blank sky in 1000 s (A,) and sigma of the line-spread function (A,)."""
    letter = "BRZ"[arm]
    with fits.open(SHARED_GALAXIES / name) as file:
        wavelength_A = np.array(file[f"{letter}_WAVELENGTH"].data, float)
        flux_A = np.array(file[f"{letter}_FLUX"].data[row], float)
        ivar_A = np.array(file[f"{letter}_IVAR"].data[row], float)
        kernel_KA = np.array(file[f"{letter}_RESOLUTION"].data[row], float)
    time = GALAXY_TIME if name == GALAXY else QUASAR_TIME
    source_A = np.maximum(gaussian_filter1d(flux_A, 8), 0)
    variance_A = 1 / ivar_A / (1 + source_A / np.interp(wavelength_A, *np.transpose(ARMS[arm].sky_flux)))
    offset_K1 = np.arange(len(kernel_KA) // 2, -(len(kernel_KA) // 2) - 1, -1)[:, None]
    weight_A = kernel_KA.sum(axis=0)
    mean_A = (kernel_KA * offset_K1).sum(axis=0) / weight_A
    moment_A = (kernel_KA * offset_K1**2).sum(axis=0) / weight_A - mean_A**2
    return wavelength_A, variance_A * time / 1000.0, STEP * np.sqrt(np.maximum(moment_A, 0))


@needs_shared
@pytest.mark.parametrize("arm", range(3))
def test_resolution_of_real_coadds(arm):
    for name, row in ((QUASARS, 4), (QUASARS, 2), (GALAXY, 0)):
        wavelength_A, _, sigma_A = real_arm(name, arm, row)
        for low in np.arange(wavelength_A[0], wavelength_A[-1] - 200, 200):
            here_A = (wavelength_A >= low) & (wavelength_A < low + 200)
            assert np.median(sigma_A[here_A]) == pytest.approx(float(line_spread_sigma(ARMS[arm], low + 100)), rel=0.06)


@needs_shared
@pytest.mark.parametrize(
    "arm, name, worst",
    [(0, QUASARS, 0.20), (1, QUASARS, 0.15), (1, GALAXY, 0.15), (2, QUASARS, 0.42), (2, GALAXY, 0.20)],
)
def test_noise_level_of_real_coadds(arm, name, worst):
    """Medians over 100 A, excluding the dichroics, where spectrographs differ.

    Without the blue arm of the galaxy: its 30 exposures of 300 s are dominated by read noise. The pipeline version
    of the quasars assumed larger errors of the sky lines, which dominate the z arm beyond 9300 A.
    """
    wavelength_A, variance_A, _ = real_arm(name, arm, 4 if name == QUASARS else 0)
    simulated_A = blank_variance(ARMS[arm], wavelength_A)
    edge = 130.0
    ratios = []
    for low in np.arange(ARMS[arm].start + edge, ARMS[arm].stop - edge - 100, 100):
        here_A = (wavelength_A >= low) & (wavelength_A < low + 100)
        ratios.append(np.sqrt(np.median(simulated_A[here_A]) / np.median(variance_A[here_A])))
    assert np.median(ratios) == pytest.approx(1.0, abs=0.14)
    assert 1 - worst < np.min(ratios) and np.max(ratios) < 1 / (1 - worst)


@needs_shared
@pytest.mark.parametrize("arm", [1, 2])
def test_sky_lines_of_real_coadds(arm):
    """Correlation of the log variance relative to that between lines, sample by sample."""
    for name, row in ((QUASARS, 4), (GALAXY, 0)):
        wavelength_A, variance_A, _ = real_arm(name, arm, row)
        simulated_A = blank_variance(ARMS[arm], wavelength_A)
        inside_A = (wavelength_A > ARMS[arm].start + 200) & (wavelength_A < ARMS[arm].stop - 30)
        excess = [np.log(v / percentile_filter(v, 20, 121))[inside_A] for v in (variance_A, simulated_A)]
        assert np.corrcoef(*excess)[0, 1] > 0.85
        # Shifted by three samples the correlation is lost.
        assert np.corrcoef(np.roll(excess[0], 3), excess[1])[0, 1] < 0.5
