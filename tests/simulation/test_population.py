"""Target population: redshifts, classes, types, distances."""

import numpy as np
import pytest
from astropy.cosmology import Planck18

from mmae.astro.lines import HALPHA
from mmae.simulation import cosmology
from mmae.simulation.population import (
    BGS,
    ELG,
    LRG,
    QSO,
    TARGET_CLASSES,
    draw_class_member,
    draw_passive,
    draw_star_forming,
    draw_target,
)


@pytest.fixture(scope="module")
def targets() -> list:
    return [draw_target(np.random.default_rng([9, i])) for i in range(3000)]


def test_redshift_percentiles_of_galaxiesml_spectra(targets):
    z = np.array([t.redshift for t in targets])
    published = {5: 0.075, 25: 0.162, 50: 0.338, 75: 0.611, 95: 2.320}
    for percentile, value in published.items():
        assert np.percentile(z, percentile) == pytest.approx(value, rel=0.15)
    assert np.mean(z < 0.4) == pytest.approx(0.55, abs=0.04)
    assert np.mean(z > 1.5) == pytest.approx(0.11, abs=0.02)


def test_every_class_is_within_its_redshift_and_magnitude_limits():
    rng = np.random.default_rng(0)
    assert sum(c.fraction for c in TARGET_CLASSES) == pytest.approx(1)
    for target in TARGET_CLASSES:
        for _ in range(50):
            drawn = draw_class_member(rng, target)
            assert target.redshift_range[0] <= drawn.redshift <= target.redshift_range[1]
            assert target.magnitude_range[0] <= drawn.magnitude <= target.magnitude_range[1]
            assert (drawn.galaxy is None) == (target is QSO)


def test_passive_fraction_by_class_and_luminosity(targets):
    passive = {
        t: np.mean([x.galaxy.galaxy_type == "passive" for x in targets if x.target_class is t]) for t in (BGS, LRG, ELG)
    }
    assert passive[LRG] > 0.8 > passive[BGS] > 0.2 > passive[ELG] == 0
    galaxies = [x for x in targets if x.target_class is BGS]
    middle = np.median([x.absolute_mag_r for x in galaxies])
    bright, faint = (
        [x.galaxy.galaxy_type == "passive" for x in galaxies if (x.absolute_mag_r < middle) == side]
        for side in (True, False)
    )
    assert np.mean(bright) > np.mean(faint) + 0.1


def test_strong_halpha_implies_young_stars():
    rng = np.random.default_rng(1)
    galaxies = [draw_star_forming(rng, -20.5, 0.2) for _ in range(600)]
    halpha = np.array([g.widths_E[HALPHA] for g in galaxies])
    old_share = np.array([g.disk_mixture_K[3] for g in galaxies])
    order = np.argsort(halpha)
    assert old_share[order[:150]].mean() > old_share[order[-150:]].mean() + 0.3
    assert draw_passive(rng, -22.0, 0.4).disk_mixture_K[3] > 0.6


def test_velocity_dispersion_increases_with_luminosity():
    rng = np.random.default_rng(1)
    fast, slow = (
        np.median([draw_passive(rng, m, 0.3).velocity_dispersion for _ in range(200)]) for m in (-23.0, -20.0)
    )
    assert 200 < fast < 280 and 80 < slow < 140


def test_distances_equal_astropy():
    for z in (0.0123, 0.35, 1.7, 3.9):
        assert cosmology.distance_modulus(z) == pytest.approx(Planck18.distmod(z).value, abs=1e-3)
        exact = Planck18.kpc_proper_per_arcmin(z).value / 60
        assert cosmology.kpc_per_arcsec(z) == pytest.approx(exact, rel=1e-3)
