"""Objects: components, flux scale, colour gradients, field objects."""

import numpy as np
import pytest

from mmae.astro.lines import HALPHA, HALPHA_WAVE, LINE_WAVELENGTH_J, WIDTH_WAVELENGTH_E
from mmae.simulation import field
from mmae.simulation.population import BGS, ELG, QSO, draw_class_member
from mmae.simulation.sky import galaxy_object, star_object, target_object, total_magnitudes
from mmae.survey.schema import SurveySpec

SPEC = SurveySpec()


def test_bulges_are_redder_than_disks():
    rng = np.random.default_rng(0)
    redder = []
    for _ in range(60):
        target = draw_class_member(rng, BGS)
        if target.galaxy.galaxy_type != "star_forming" or target.galaxy.structure.bulge_fraction < 0.1:
            continue
        sky_object, _ = target_object(rng, target)
        disk_C, bulge_C = sky_object.magnitudes_PC(SPEC.bands)
        redder.append((bulge_C[0] - bulge_C[1]) - (disk_C[0] - disk_C[1]))
    assert len(redder) > 10
    assert np.median(redder) > 0.15


def test_bulge_fraction_is_the_fraction_of_the_light_at_5500():
    rng = np.random.default_rng(4)
    while True:
        target = draw_class_member(rng, BGS)
        fraction = target.galaxy.structure.bulge_fraction
        if 0.2 < fraction < 0.8:
            break
    sky_object, _ = target_object(rng, target)
    disk, bulge = (np.interp(5500.0, c.sed.wavelength_W, c.sed.continuum_W) for c in sky_object.components)
    assert bulge / (bulge + disk) == pytest.approx(fraction)
    assert sky_object.components[0].profile is target.galaxy.structure.disk


@pytest.mark.parametrize("target_class", [BGS, ELG])
def test_line_fluxes_have_the_scale_of_the_continuum(target_class):
    rng = np.random.default_rng(7)
    target = draw_class_member(rng, target_class)
    sky_object, line_flux_E = target_object(rng, target)
    continuum_E = sum(
        np.interp(WIDTH_WAVELENGTH_E, c.sed.wavelength_W, c.sed.continuum_W) for c in sky_object.components
    )
    assert line_flux_E / continuum_E == pytest.approx(np.array(target.galaxy.widths_E))
    with_lines = sky_object.components[0].sed
    assert with_lines.line_flux_J[list(LINE_WAVELENGTH_J).index(HALPHA_WAVE)] == pytest.approx(line_flux_E[HALPHA])
    mag_C = total_magnitudes(sky_object.magnitudes_PC(SPEC.bands))
    assert mag_C[SPEC.bands.index(target_class.band)] == pytest.approx(target.magnitude, abs=1e-6)


def test_quasars_and_stars_are_point_sources():
    rng = np.random.default_rng(1)
    quasar, line_flux_E = target_object(rng, draw_class_member(rng, QSO))
    star = star_object(5770.0, "i", 20.0)
    for sky_object in (quasar, star):
        assert len(sky_object.components) == 1 and sky_object.components[0].profile.half_light_radius == 0
    assert np.isnan(line_flux_E).all()
    assert total_magnitudes(star.magnitudes_PC(("i",)))[0] == pytest.approx(20.0)


def test_number_counts_of_field_galaxies():
    # COSMOS (Capak+2007, table 6 and zCOSMOS): about 2.5e4 galaxies per square degree at i < 22.5.
    assert field.galaxies_per_square_arcmin(22.5) * 3600 == pytest.approx(2.6e4, rel=0.15)
    counts = [field.galaxies_per_square_arcmin(m) for m in (18, 20, 22.49, 22.5, 24, 25)]
    assert (np.diff(counts) >= 0).all() and counts[-1] == pytest.approx(46)
    rng = np.random.default_rng(0)
    drawn = np.array([field.draw_field_magnitude(rng) for _ in range(3000)])
    assert np.mean(drawn < 23) == pytest.approx(10 ** (-0.31 * 2), rel=0.15)
    assert drawn.min() >= field.BRIGHT and drawn.max() <= field.FAINT


def test_number_and_positions_of_field_objects():
    rng = np.random.default_rng(0)
    assert field.draw_field(rng, SPEC, 0.0) == []
    side = SPEC.image_size * SPEC.pixel_scale + 2 * field.MARGIN
    expected = field.galaxies_per_square_arcmin(field.FAINT) * (side / 60) ** 2
    drawn = [field.draw_field(rng, SPEC, 1.0) for _ in range(150)]
    galaxies = [sum(not f.is_star for f in field_objects) for field_objects in drawn]
    assert np.mean(galaxies) == pytest.approx(expected, abs=4 * np.sqrt(expected / 150))
    positions = np.array([f.centre for field_objects in drawn for f in field_objects])
    assert positions.min() < 0 and positions.max() > SPEC.image_size - 1  # also outside the cutout
    assert abs(positions.mean() - 31.5) < 3


def test_median_redshift_of_field_galaxies():
    rng = np.random.default_rng(0)
    near, far = (np.median([field.draw_field_redshift(rng, m) for _ in range(1000)]) for m in (21.0, 25.0))
    # The median of z^2 exp(-z/z0) is 2.674 z0.
    assert near == pytest.approx(2.674 * (0.0417 * 21 - 0.744), rel=0.08)
    assert far == pytest.approx(2.674 * (0.0417 * 25 - 0.744), rel=0.08)


def test_galaxy_object_has_the_given_magnitude():
    galaxy = draw_class_member(np.random.default_rng(3), BGS).galaxy
    sky_object = galaxy_object(galaxy, 0.4, "z", 21.3)
    assert total_magnitudes(sky_object.magnitudes_PC(("z",)))[0] == pytest.approx(21.3)
