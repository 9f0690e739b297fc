"""Coverage of positions by a survey, inferred from its sources."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from mmae.steepspec.spectra.coverage import surroundings


def disc(n, ra, dec, radius, seed=0):
    rng = np.random.default_rng(seed)
    r, angle = radius * np.sqrt(rng.random(n)), rng.uniform(0, 2 * np.pi, n)
    return ra + r * np.cos(angle) / np.cos(np.radians(dec)), dec + r * np.sin(angle)


@pytest.mark.parametrize(("ra", "dec"), [(180.0, 0.0), (0.0, -60.0), (359.99, 80.0)])
def test_positions_inside_beyond_the_edge_and_in_a_hole(ra, dec):
    survey = np.array(disc(3000, ra, dec, 2.0))
    hole = np.hypot((survey[0] - ra) * np.cos(np.radians(dec)) - 1, survey[1] - dec) < 0.4
    survey = survey[:, ~hole]
    positions = np.array(disc(2000, ra, dec, 3.0, seed=1))
    covered, rows = surroundings(positions[0] % 360, positions[1], survey[0] % 360, survey[1])
    x, y = (positions[0] - ra) * np.cos(np.radians(dec)), positions[1] - dec
    r, in_hole = np.hypot(x, y), np.hypot(x - 1, y) < 0.3
    assert not covered[r > 2.1].any() and not covered[in_hole].any()
    inner = (r < 1.7) & (np.hypot(x - 1, y) > 0.55)
    assert covered[inner].mean() > 0.97
    # Just beyond the edge, at less than the spacing of the sources, where a grid of cells would be wrong.
    assert covered[(r > 2.0) & (r < 2.1)].mean() < 0.05
    nearest, _, _ = SkyCoord(*positions[:, :50], unit="deg").match_to_catalog_sky(SkyCoord(*survey, unit="deg"))
    assert rows[:50, 0].tolist() == nearest.tolist()


def test_a_survey_with_few_sources_covers_no_position():
    covered, rows = surroundings(np.zeros(3), np.zeros(3), np.arange(12.0), np.zeros(12))
    assert not covered.any() and rows.shape == (3, 0)
    assert surroundings([], [], np.arange(50.0), np.zeros(50))[0].shape == (0,)
