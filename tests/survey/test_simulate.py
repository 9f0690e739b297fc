"""The simulated survey: reproducible rows, and light that adds up from SED to pixel."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
import speclite.filters

from mmae.errors import InputError
from mmae.survey.schema import SurveySpec, check_galaxy
from mmae.survey.simulation import camera, seds, spectrograph
from mmae.survey.simulation.population import (
    BGS,
    ELG,
    LRG,
    QSO,
    TARGET_CLASSES,
    EmissionLines,
    Profile,
    draw_class_member,
    draw_properties,
)
from mmae.survey.simulation.source import (
    SimulationConfig,
    Truth,
    simulate_galaxy,
    simulation_source,
)

SPEC = SurveySpec()
CONFIG = SimulationConfig(n_galaxies=60, seed=11)


@pytest.fixture(scope="module")
def rows() -> list:
    return [simulate_galaxy(row, CONFIG, SPEC) for row in range(CONFIG.n_galaxies)]


def row_bytes(galaxy) -> bytes:
    return pickle.dumps(
        [v.tobytes() if isinstance(v, np.ndarray) else v for v in vars(galaxy).values()]
    )


# --- rows -------------------------------------------------------------------------------------


def test_rows_do_not_depend_on_the_chunking_or_on_the_process():
    config = SimulationConfig(n_galaxies=6, seed=4)
    read = simulation_source(config, SPEC).read
    whole = read({"start": 0, "stop": 6}).galaxies
    elsewhere = pickle.loads(pickle.dumps(read))
    parts = elsewhere({"start": 4, "stop": 6}).galaxies + elsewhere({"start": 0, "stop": 4}).galaxies
    assert [row_bytes(g) for g in whole] == [row_bytes(g) for g in parts[2:] + parts[:2]]


def test_another_seed_gives_other_galaxies():
    one, _ = simulate_galaxy(0, SimulationConfig(seed=1), SPEC)
    two, _ = simulate_galaxy(0, SimulationConfig(seed=2), SPEC)
    assert one.redshift != two.redshift
    assert not np.array_equal(one.image_CHW, two.image_CHW)
    other_chunk, _ = simulate_galaxy(512, SimulationConfig(seed=1), SPEC)
    assert one.redshift != other_chunk.redshift


def test_chunks_cover_every_row_once_in_bounded_pieces():
    source = simulation_source(SimulationConfig(n_galaxies=1300, seed=0), SPEC)
    covered = [row for c in source.chunks for row in range(c["start"], c["stop"])]
    assert covered == list(range(1300))
    assert max(c["stop"] - c["start"] for c in source.chunks) <= 512
    assert simulation_source(SimulationConfig(n_galaxies=0), SPEC).chunks == []


def test_every_galaxy_passes_the_check(rows):
    for galaxy, _ in rows:
        checked = check_galaxy(dataclasses.replace(galaxy), SPEC, "simulation")
        assert checked.rejections == []
        assert checked.galaxy.image_CHW.dtype == checked.galaxy.flux_L.dtype == np.float32
    assert len({g.object_id for g, _ in rows}) == len({g.targetid for g, _ in rows}) == len(rows)


def test_fractions_take_spectra_and_labels_away_and_change_nothing_else():
    full = SimulationConfig(n_galaxies=150, seed=5)
    part = dataclasses.replace(full, paired_fraction=0.3, labelled_fraction=0.6)
    spec = dataclasses.replace(SPEC, image_size=8)  # cheap stamps
    rows = [(simulate_galaxy(i, full, spec)[0], simulate_galaxy(i, part, spec)[0]) for i in range(150)]
    # Binomial scatter is 0.04; 3.5 sigma.
    assert np.mean([p.flux_L is not None for _, p in rows]) == pytest.approx(0.3, abs=0.14)
    assert np.mean([p.redshift is not None for _, p in rows]) == pytest.approx(0.6, abs=0.14)
    for f, p in rows:
        assert f.flux_L is not None and f.redshift is not None
        assert np.array_equal(f.image_CHW, p.image_CHW)
        assert p.flux_L is None or np.array_equal(f.flux_L, p.flux_L)
        assert (p.targetid is None) == (p.flux_L is None and p.redshift is None)


@pytest.mark.parametrize(
    "wrong",
    [{"n_galaxies": -1}, {"seed": -3}, {"n_galaxies": 2.5}, {"paired_fraction": 1.2},
     {"labelled_fraction": -0.1}, {"neighbour_fraction": float("nan")}],
)
def test_a_bad_configuration_is_refused_by_name(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        SimulationConfig(**wrong)


def test_a_band_without_a_filter_curve_is_refused():
    with pytest.raises(InputError, match="u"):
        simulation_source(CONFIG, dataclasses.replace(SPEC, bands=("u", "r", "i", "z", "y")))


# --- population -------------------------------------------------------------------------------


def test_redshifts_follow_galaxiesml_spectra():
    z = np.array([draw_properties(np.random.default_rng([9, i])).redshift for i in range(600)])
    published = {5: 0.075, 25: 0.162, 50: 0.338, 75: 0.611, 95: 2.320}
    for percentile, value in published.items():
        assert np.percentile(z, percentile) == pytest.approx(value, rel=0.25)
    assert np.mean(z < 0.4) == pytest.approx(0.55, abs=0.07)
    assert np.mean(z > 1.5) == pytest.approx(0.11, abs=0.04)


def test_every_class_keeps_its_limits():
    rng = np.random.default_rng(0)
    for target in TARGET_CLASSES:
        for _ in range(50):
            drawn = draw_class_member(rng, target)
            assert target.redshift_range[0] <= drawn.redshift <= target.redshift_range[1]
            assert target.magnitude_range[0] <= drawn.magnitude <= target.magnitude_range[1]
            assert (drawn.morphtype == "PSF") == (drawn.profile.half_light_radius == 0)


# --- light ------------------------------------------------------------------------------------


def scaled(target, seed: int):
    drawn = draw_class_member(np.random.default_rng(seed), target)
    sed = seds.scale_to_magnitude(seds.build_sed(drawn), drawn.redshift, target.band, drawn.magnitude)
    return drawn, sed


@pytest.mark.parametrize("target", TARGET_CLASSES, ids=lambda t: t.name)
def test_catalogue_magnitudes_equal_an_independent_integration(target):
    drawn, sed = scaled(target, 3)
    wavelength_L = np.arange(3300.0, 11200.0, 0.25)  # speclite integrates on this grid itself
    flux_L = seds.observed_flux(sed, drawn.redshift, wavelength_L) * 1e-17
    names = ("hsc2017-g", "hsc2017-r2", "hsc2017-i2", "hsc2017-z", "hsc2017-y")
    curves = speclite.filters.load_filters(*names)
    table = curves.get_ab_magnitudes(flux_L, wavelength_L)
    expected_C = [float(table[name][0]) for name in names]
    mag_C = seds.ab_magnitude(sed, drawn.redshift, SPEC.bands)
    np.testing.assert_allclose(mag_C, expected_C, atol=0.01)
    assert mag_C[SPEC.bands.index(target.band)] == pytest.approx(drawn.magnitude, abs=1e-6)


def test_emission_lines_stand_at_their_redshifted_wavelength_with_their_flux():
    redshift = 0.2137
    lines = EmissionLines(halpha_width=60.0, log_n2=-0.6, balmer_excess=0.0, velocity_dispersion=90.0)
    with_lines = seds.galaxy_sed((0.0, 0.0, 0.0, 0.0, 1.0), 0.0, lines)
    without = dataclasses.replace(with_lines, line_flux_J=np.zeros_like(with_lines.line_flux_J))
    wavelength_L = SPEC.wavelength_L()
    difference_L = (seds.observed_flux(with_lines, redshift, wavelength_L, 0.75)
                    - seds.observed_flux(without, redshift, wavelength_L, 0.75))
    for rest in (4862.69, 5008.24, 6564.61):  # H-beta, [O III], H-alpha; vacuum
        near_L = np.abs(wavelength_L - rest * (1 + redshift)) < 12
        weight_L = difference_L[near_L]
        centroid = (weight_L * wavelength_L[near_L]).sum() / weight_L.sum()
        assert abs(centroid - rest * (1 + redshift)) < 0.1 * SPEC.wavelength_step
    # Case B, and the width is the requested one.
    j = {round(w): f for w, f in zip(with_lines.line_wavelength_J, with_lines.line_flux_J)}
    assert j[6565] / j[4863] == pytest.approx(2.86)
    # An observed equivalent width is (1 + z) times the rest-frame one.
    observed_continuum = seds.observed_flux(without, redshift, np.array([6564.61 * (1 + redshift)]))[0]
    assert j[6565] / observed_continuum == pytest.approx(60.0 * (1 + redshift))
    near_L = np.abs(wavelength_L - 5008.24 * (1 + redshift)) < 12
    assert difference_L[near_L].sum() * SPEC.wavelength_step == pytest.approx(j[5008], rel=1e-3)


def test_the_break_of_an_old_galaxy_carries_its_redshift_into_the_colours():
    old = seds.galaxy_sed((0.0, 0.0, 0.0, 1.0, 0.0), 0.0, EmissionLines(0.0, 0.0, 0.0, 100.0))
    colours = {z: -np.diff(seds.ab_magnitude(old, z, SPEC.bands)) for z in (0.1, 0.35, 0.8)}
    assert colours[0.35][0] > colours[0.1][0] + 0.4  # g-r reddens while the break crosses g
    assert colours[0.8][1] > colours[0.35][1] + 0.4  # r-i while it crosses r


def test_the_forest_absorbs_only_blueward_of_lyman_alpha():
    wavelength_W = np.array([1000.0, 1150.0, 1215.0, 1217.0, 3000.0])
    depth_W = seds.lyman_optical_depth(wavelength_W, 3.0)
    assert (depth_W[3:] == 0).all() and (depth_W[:3] > 0.1).all()
    # An independent fit, Faucher-Giguere+2008: tau = 0.0018 (1 + z)^3.92.
    rest = 1215.67 * (1 + 2.95) / (1 + 3.0)
    assert seds.lyman_optical_depth(np.array([rest]), 3.0)[0] == pytest.approx(0.0018 * 3.95**3.92, abs=0.04)
    assert seds.lyman_optical_depth(np.array([1200.0]), 0.4)[0] == 0


# --- images -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sersic_index, radius", [(0.0, 0.0), (1.0, 0.5), (4.0, 0.3)])
def test_the_pixels_of_a_compact_galaxy_add_up_to_its_magnitude(sersic_index, radius):
    profile = Profile(sersic_index, radius, 0.7, 0.6)
    magnitude = 18.3
    counts_C = np.full(5, 10 ** (0.4 * (SPEC.zero_point - magnitude)))
    image_CHW = camera.render(profile, counts_C, np.full(5, 0.7), (31.7, 31.2), 64, SPEC.pixel_scale)
    rendered_C = SPEC.zero_point - 2.5 * np.log10(image_CHW.sum(axis=(1, 2)))
    np.testing.assert_allclose(rendered_C, magnitude, atol=0.03)
    # The centre of light is where it was asked for, and half of it within the seen half-light radius.
    y, x = np.indices((64, 64))
    core_HW = np.where(np.hypot(x - 31.7, y - 31.2) < 20, image_CHW[0], 0)
    assert (core_HW * x).sum() / core_HW.sum() == pytest.approx(31.7, abs=0.05)
    assert (core_HW * y).sum() / core_HW.sum() == pytest.approx(31.2, abs=0.05)


def test_half_the_light_lies_within_the_half_light_radius_at_every_sersic_index():
    for index in (0.5, 1.0, 2.5, 4.0, 6.0):
        profile = Profile(index, 4.0, 1.0, 0.0)  # arcsec; the seeing is much smaller
        image_HW = camera.render(profile, [1.0], [0.4], (255.0, 255.0), 511, SPEC.pixel_scale)[0]
        y, x = np.indices(image_HW.shape)
        inside = np.hypot(x - 255, y - 255) * SPEC.pixel_scale < 4.0
        assert image_HW[inside].sum() == pytest.approx(0.5, abs=0.015)


def test_the_major_axis_and_the_flattening_come_out_as_asked():
    profile = Profile(1.0, 1.5, 0.4, np.pi / 2)  # along y
    image_HW = camera.render(profile, [1.0], [0.3], (100.0, 100.0), 201, SPEC.pixel_scale)[0]
    y, x = np.indices(image_HW.shape)
    rms_x = np.sqrt((image_HW * (x - 100) ** 2).sum() / image_HW.sum())
    rms_y = np.sqrt((image_HW * (y - 100) ** 2).sum() / image_HW.sum())
    assert rms_x / rms_y == pytest.approx(0.4, abs=0.05)


def test_blank_sky_has_the_noise_of_the_survey(rows):
    residual, blank = [], []
    for galaxy, truth in rows:
        residual.append(galaxy.image_CHW - truth.image_CHW)
        blank.append((np.abs(truth.image_CHW) < 0.02 * np.array(SPEC.band_noise)[:, None, None]))
    residual, blank = np.stack(residual, axis=1), np.stack(blank, axis=1)
    for band, sigma in enumerate(SPEC.band_noise):
        corners = residual[band][blank[band]]
        assert corners.size > 5000
        assert corners.std() == pytest.approx(sigma, rel=0.1)
        assert abs(corners.mean()) < 0.05 * sigma


def test_catalogue_magnitudes_scatter_about_the_truth_by_their_noise(rows):
    bright = [(g, t) for g, t in rows if t.mag_C.max() < 20.5]
    assert len(bright) > 15
    offset = np.concatenate([g.cmodel_mag_C - t.mag_C for g, t in bright])
    assert 0.005 < offset.std() < 0.05
    assert abs(offset.mean()) < 0.01


# --- spectra ----------------------------------------------------------------------------------


def test_spectrum_noise_is_what_ivar_says(rows):
    pulls = []
    for galaxy, truth in rows:
        good_L = galaxy.ivar_L > 0
        assert 0.9 < good_L.mean() < 1.0  # a few bad pixels
        pulls.append(((galaxy.flux_L - truth.flux_L) * np.sqrt(galaxy.ivar_L))[good_L])
    pulls = np.concatenate(pulls)
    assert pulls.std() == pytest.approx(1.0, abs=0.01)
    assert abs(pulls.mean()) < 0.01


def test_noise_rises_to_the_blue_and_on_sky_lines():
    wavelength_L = SPEC.wavelength_L()
    sigma_L = spectrograph.sky_ivar(SPEC) ** -0.5

    def median(low: float, high: float) -> float:
        return float(np.median(sigma_L[(wavelength_L > low) & (wavelength_L < high)]))

    assert 0.25 < median(6300, 7100) < 0.6 and 0.2 < median(8000, 9000) < 0.6
    assert median(3600, 3800) > 3 * median(4600, 5400)
    assert sigma_L[np.abs(wavelength_L - 5578.9).argmin()] > 3 * median(5400, 5570)


def test_a_fibre_loses_more_of_a_larger_galaxy_and_nothing_of_a_star():
    drawn, sed = scaled(LRG, 1)
    total_L = seds.observed_flux(sed, drawn.redshift, SPEC.wavelength_L(), spectrograph.LINE_SPREAD_SIGMA)
    kept = [np.median(spectrograph.true_spectrum(sed, drawn.redshift, Profile(4.0, r, 1.0, 0.0), SPEC)
                      / total_L) for r in (0.0, 0.5, 2.0)]
    assert kept[0] == pytest.approx(1.0)
    assert 1 > kept[1] > kept[2] > 0.05
    # A Moffat of index 3 in a round aperture is analytic: 1 - (1 + (R/a)^2)^-2.
    scale = 1.1 / 2 / np.sqrt(2 ** (1 / 3) - 1)
    fraction = camera.fibre_fraction(Profile(1.0, 0.0, 1.0, 0.0), 1.1, 1.5)
    assert fraction == pytest.approx(1 - (1 + (0.75 / scale) ** 2) ** -2, abs=0.002)


def test_quasars_and_galaxies_have_their_own_lines():
    _, galaxy_sed = scaled(ELG, 2)
    quasar, quasar_sed = scaled(QSO, 2)
    assert galaxy_sed.line_sigma < quasar_sed.line_sigma
    # C IV stands out of the quasar continuum as a broad bump.
    at = [float(np.interp(w, quasar_sed.wavelength_W, quasar_sed.continuum_W)) for w in (1480, 1546, 1620)]
    assert at[1] > 1.15 * np.sqrt(at[0] * at[2])
    assert quasar.morphtype == "PSF"
    assert isinstance(simulate_galaxy(0, CONFIG, SPEC)[1], Truth)
    assert scaled(BGS, 2)[0].quasar is None
