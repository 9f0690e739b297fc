"""Bulge and disk structure."""

import numpy as np
import pytest
from astropy.modeling.models import Sersic1D
from scipy.integrate import cumulative_trapezoid

from mmae.simulation.cosmology import kpc_per_arcsec
from mmae.simulation.structure import (
    POINT_SOURCE,
    Profile,
    Structure,
    draw_early,
    draw_late,
    light_inside,
    tractor_type,
)


def test_light_inside_equals_an_integrated_sersic_profile():
    for index in (1.0, 2.5, 4.0):
        radius = np.geomspace(1e-7, 1e4, 200_000)
        total = cumulative_trapezoid(radius * Sersic1D(1.0, r_eff=0.8, n=index)(radius), radius, initial=0)
        share = light_inside(Profile(index, 0.8, 1.0, 0.0), np.array([0.1, 0.8, 2.4]))
        assert share == pytest.approx(np.interp([0.1, 0.8, 2.4], radius, total / total[-1]), abs=1e-3)


def test_half_light_radius_of_bulge_plus_disk():
    bulge, disk = Profile(4.0, 0.5, 1.0, 0.0), Profile(1.0, 2.0, 1.0, 0.0)
    assert Structure(1.0, bulge, disk).half_light_radius() == pytest.approx(0.5, rel=0.01)
    assert Structure(0.0, bulge, disk).half_light_radius() == pytest.approx(2.0, rel=0.01)
    assert 0.5 < Structure(0.5, bulge, disk).half_light_radius() < 2.0
    assert Structure(1.0, POINT_SOURCE, POINT_SOURCE).half_light_radius() == 0


def sizes(draw, log_mass: float, redshift: float, *more) -> float:
    """Median size in kpc."""
    rng = np.random.default_rng(5)
    radii = [draw(rng, log_mass, redshift, *more).half_light_radius() for _ in range(300)]
    return float(np.median(radii)) * kpc_per_arcsec(redshift)


def test_sizes_follow_van_der_wel_2014():
    # Table 1 at z = 0.75, 5e10 solar masses: R = A (1+z)^B.
    assert sizes(draw_early, 10.7, 0.75) == pytest.approx(5.6 * 1.75**-1.48, rel=0.15)
    assert sizes(draw_late, 10.7, 0.75, 0.6) == pytest.approx(8.9 * 1.75**-0.75, rel=0.15)
    assert sizes(draw_early, 11.4, 0.5) > 2 * sizes(draw_early, 10.6, 0.5)


def test_structure_by_galaxy_type():
    rng = np.random.default_rng(2)
    early = [draw_early(rng, 11.0, 0.3) for _ in range(300)]
    old = [draw_late(rng, 10.8, 0.3, 0.0) for _ in range(300)]
    young = [draw_late(rng, 10.0, 0.3, 1.0) for _ in range(300)]
    share = [np.mean([s.bulge_fraction for s in group]) for group in (early, old, young)]
    assert share[0] > 0.6 > share[1] > 0.2 > share[2]
    assert np.median([s.bulge.sersic_index for s in early]) >= 3.5
    assert all(s.disk.sersic_index == 1 for s in young)
    for s in early + old + young:
        assert 0 <= s.bulge_fraction <= 1
        for part in (s.bulge, s.disk):
            assert 0.19 < part.axis_ratio <= 1 and 0 < part.half_light_radius < 20
        assert s.bulge.axis_ratio >= min(s.disk.axis_ratio, 0.4)


def test_tractor_types():
    rng = np.random.default_rng(0)
    large = Profile(4.0, 2.0, 1.0, 0.0)
    disk = Profile(1.0, 2.0, 1.0, 0.0)
    assert tractor_type(rng, Structure(1.0, POINT_SOURCE, POINT_SOURCE)) == "PSF"
    assert tractor_type(rng, Structure(1.0, Profile(4.0, 0.2, 1.0, 0.0), disk)) == "REX"
    assert {tractor_type(rng, Structure(1.0, large, disk)) for _ in range(50)} == {"DEV", "SER"}
    assert {tractor_type(rng, Structure(0.05, large, disk)) for _ in range(50)} == {"EXP", "SER"}
