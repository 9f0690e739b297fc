"""Variety: off by default, the same targets when it is on, and amplitudes as configured."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.simulation.camera import PlacedProfile, Psf, render
from mmae.simulation.config import SimulationConfig, Variety, from_recorded, recorded
from mmae.simulation.dust import R_V, calzetti_k
from mmae.simulation.seds import ab_magnitude, stellar_sed
from mmae.simulation.source import draw_light, simulate_galaxy, simulation_source
from mmae.simulation.spectrograph import Calibration, observe
from mmae.simulation.structure import POINT_SOURCE
from mmae.simulation.variety import NODES, Draws, attenuation_curve, draw_variety, spectral_factor, varied_sed
from mmae.survey.schema import SurveySpec, check_galaxy

SPEC = SurveySpec()
WIDE = Variety(scale=1.0)


def only(name: str, value: float) -> Variety:
    """All widths 0 except one."""
    widths = dict.fromkeys((f.name for f in dataclasses.fields(Variety)), 0.0)
    return Variety(**{**widths, "scale": 1.0, name: value})


def test_default_survey_is_as_without_variety():
    """Provenance, truth columns and pixels: widths of zero give exactly the calibrated simulation."""
    assert recorded(SimulationConfig()).keys() == {
        "galaxies",
        "seed",
        "paired_fraction",
        "labelled_fraction",
        "field_density",
    }
    assert "kind" not in simulation_source(SimulationConfig(), SPEC).truth_schema.names
    zero = only("dust", 0.0)
    for row in range(3):
        one, _ = simulate_galaxy(row, SimulationConfig(), SPEC)
        two, _ = simulate_galaxy(row, SimulationConfig(variety=zero), SPEC)
        assert one.redshift == two.redshift
        np.testing.assert_allclose(one.image_CHW, two.image_CHW, rtol=0, atol=1e-4)
        np.testing.assert_allclose(one.flux_L, two.flux_L, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("row", [0, 1, 2])
def test_pixels_of_the_default_survey_have_not_changed(row):
    """Sums of rows of seed 0 when this simulator was calibrated; they differ if the order of random draws does."""
    expected = [(1.14053951, 696.361, 1817.902), (0.28132854, 28008.94, 25030.76), (0.06498635, 146223.5, 188840.6)]
    galaxy, _ = simulate_galaxy(row, SimulationConfig(), SPEC)
    assert galaxy.redshift == pytest.approx(expected[row][0], rel=1e-6)
    assert float(galaxy.image_CHW.sum()) == pytest.approx(expected[row][1], rel=1e-4)
    assert float(galaxy.flux_L.sum()) == pytest.approx(expected[row][2], rel=1e-4)


def test_variety_keeps_the_targets_and_is_reproducible():
    plain, wide = SimulationConfig(seed=5), SimulationConfig(seed=5, variety=replace(WIDE, field_targets=0.0))
    for row in range(4):
        (a, truth_a), (b, truth_b) = (simulate_galaxy(row, c, SPEC) for c in (plain, wide))
        assert truth_a.target.redshift == truth_b.target.redshift
        assert truth_a.target.magnitude == truth_b.target.magnitude
        assert a.redshift == b.redshift and not np.array_equal(a.image_CHW, b.image_CHW)
        again, _ = simulate_galaxy(row, wide, SPEC)
        assert np.array_equal(b.image_CHW, again.image_CHW) and np.array_equal(b.flux_L, again.flux_L)
        assert check_galaxy(b, SPEC, "row").rejections == []


def test_options_survive_the_provenance():
    config = SimulationConfig(galaxies=3, contaminant_fraction=0.2, variety=Variety(scale=0.5, dust=0.3))
    assert from_recorded(recorded(config)) == config
    assert from_recorded(recorded(SimulationConfig())) == SimulationConfig()
    assert from_recorded({"galaxies": 3}) is None
    assert from_recorded({**recorded(config), "variety": {"scale": 1.0, "other": 2.0}}) is None


def test_draws_follow_their_widths():
    draws = [draw_variety(np.random.default_rng(i), WIDE, 5) for i in range(4000)]
    assert np.std([d.tilt for d in draws]) == pytest.approx(WIDE.tilt, rel=0.06)
    assert np.mean([d.attenuation_v for d in draws]) == pytest.approx(WIDE.dust, rel=0.08)
    zero_point = np.array([d.zero_point_C for d in draws])
    assert zero_point.std(axis=0) == pytest.approx([WIDE.zero_point] * 5, rel=0.06)
    assert np.mean([d.blend is not None for d in draws]) == pytest.approx(WIDE.blended, abs=0.02)
    assert np.std([np.log(d.seeing_factor) for d in draws]) == pytest.approx(WIDE.psf_width, rel=0.06)
    assert draw_variety(np.random.default_rng(0), Variety(), 5) == Draws()


def test_invalid_widths_raise():
    with pytest.raises(InputError, match="variety.dust"):
        Variety(dust=-0.1)
    with pytest.raises(InputError, match="variety.scale"):
        Variety(scale=float("nan"))
    with pytest.raises(InputError, match="blended"):
        Variety(scale=5.0, blended=0.5)


def test_attenuation_curve_is_calzetti_without_deviation_and_has_a_bump():
    wavelength = np.array([1500.0, 2175.0, 3000.0, 5500.0, 9000.0])
    np.testing.assert_allclose(attenuation_curve(wavelength, 0, 0), calzetti_k(wavelength) / R_V)
    bump = attenuation_curve(wavelength, 0, 2.0) - attenuation_curve(wavelength, 0, 0)
    assert bump[1] == pytest.approx(2.0 / R_V) and bump.argmax() == 1 and bump[3] < 0.01
    steeper = attenuation_curve(wavelength, -0.5, 0)
    assert steeper[0] > calzetti_k(1500.0) / R_V and steeper[-1] < calzetti_k(9000.0) / R_V


def test_tilt_changes_colours_and_not_equivalent_widths():
    draws = Draws(tilt=0.3, node_K=np.zeros(NODES.size))
    sed = stellar_sed((0, 0, 0, 1.0, 0), 0.0, 100.0)
    sed = replace(sed, line_wavelength_J=np.array([5008.24]), line_flux_J=np.array([20.0]))
    tilted = varied_sed(sed, 0.0, draws)
    g, i = (ab_magnitude(s, 0.0, ("g", "i")) for s in (tilted, sed))
    # The colour changes by the tilt times the ratio of the effective wavelengths, 4770 and 7700 A.
    assert (g - i)[0] - (g - i)[1] == pytest.approx(-0.3 * np.log(7700 / 4770), abs=0.02)
    at_line = [np.interp(5008.24, s.wavelength_W, s.continuum_W) for s in (sed, tilted)]
    assert tilted.line_flux_J[0] / at_line[1] == pytest.approx(20.0 / at_line[0], rel=1e-3)
    np.testing.assert_array_equal(spectral_factor(np.array([4000.0]), 0.3, Draws()), 1.0)


def test_depth_and_correlation_of_the_sky():
    spec = replace(SPEC, image_size=127)
    shallow = SimulationConfig(field_density=0, variety=only("depth", 0.5))
    ratios = []
    for row in range(12):
        galaxy, truth = simulate_galaxy(row, shallow, spec)
        noise = (galaxy.image_CHW - truth.image_CHW)[:, :20, :20]
        ratios.append(np.log(noise.std(axis=(1, 2)) / np.array(SPEC.band_noise)).mean())
    assert 0.2 < np.std(ratios) < 0.9


def test_zero_points_move_image_and_catalogue_together():
    config = SimulationConfig(field_density=0, variety=only("zero_point", 0.2))
    for row in range(4):
        _, plain = simulate_galaxy(row, SimulationConfig(field_density=0), SPEC)
        _, varied = simulate_galaxy(row, config, SPEC)
        ratio_C = varied.image_CHW.sum(axis=(1, 2)) / plain.image_CHW.sum(axis=(1, 2))
        assert np.std(np.log(ratio_C)) > 0.01
        np.testing.assert_allclose(varied.mag_C, plain.mag_C, atol=1e-6)  # the truth is the truth


def test_psf_shape_conserves_flux_and_has_its_ellipticity():
    star = [PlacedProfile(POINT_SOURCE, np.array([100.0]), (47.5, 47.5))]
    round_, sheared = (render(star, np.array([0.7]), 96, 0.168, psf)[0] for psf in (Psf(), Psf(2.5, 0.2, 0.0)))
    assert round_.sum() == pytest.approx(sheared.sum(), rel=0.02)
    y, x = np.indices(sheared.shape) - 47.5
    window = np.hypot(x, y) < 8
    moments = [(sheared * window * v**2).sum() for v in (x, y)]
    assert moments[0] > 1.2 * moments[1]


def test_flux_calibration_of_a_spectrum():
    flat = stellar_sed((0, 0, 0, 1.0, 0), 0.0, 100.0)
    plain, tilted = (
        observe(np.random.default_rng(1), [(flat, 1.0)], 0.1, SPEC, calibration=c)
        for c in (Calibration(), Calibration(0.5, (1.1, 1.0, 0.9), 4.0))
    )
    ratio_L = tilted.true_L / plain.true_L
    wavelength_L = SPEC.wavelength_L()
    inside = (wavelength_L > 4000) & (wavelength_L < 5700)
    np.testing.assert_allclose(ratio_L[inside], 1.1 * (wavelength_L[inside] / 6500) ** 0.5, rtol=1e-5)
    good = (plain.ivar_L > 0) & (tilted.ivar_L > 0)
    assert np.median(tilted.ivar_L[good] / plain.ivar_L[good]) == pytest.approx(4.0, rel=0.1)


def test_the_object_of_a_row_does_not_depend_on_the_bands():
    one, two = (draw_variety(np.random.default_rng(3), WIDE, n) for n in (5, 12))
    assert np.array_equal(one.node_K, two.node_K) and one.blend == two.blend and one.calibration == two.calibration
    assert len(two.zero_point_C) == 12


def test_field_targets_are_galaxies_selected_by_magnitude():
    config = SimulationConfig(field_density=0, variety=only("field_targets", 1.0))
    targets = [draw_light(row, config, 5).target for row in range(40)]
    assert {t.target_class.name for t in targets} == {"FIELD"}
    assert all(18 <= t.magnitude <= 24 and t.galaxy is not None for t in targets)
    assert np.ptp([t.redshift for t in targets]) > 0.5
    galaxy, truth = simulate_galaxy(0, config, SPEC)
    assert truth.row["target_class"] == "FIELD" and check_galaxy(galaxy, SPEC, "row").rejections == []
