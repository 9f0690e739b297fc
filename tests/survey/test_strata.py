"""Fractions of rare kinds in the splits: counts, errors, and significance of differences."""

import math

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from mmae.survey.schema import SPLITS, Galaxy, to_table
from mmae.survey.strata import MOST_SIGMA, count_strata, shares
from tests.ingest.small import SPEC

FLUX = np.ones(12, np.float32)


def counts(psf, morphtypes, high=(0, 0, 0), redshifts=(0, 0, 0)):
    keys = ("psf", "morphtypes", "high_redshifts", "redshifts")
    return {
        s: dict(zip(keys, values, strict=True))
        for s, values in zip(SPLITS, zip(psf, morphtypes, high, redshifts, strict=True), strict=True)
    }


def test_unknown_types_and_redshifts_are_not_counted():
    rows = [("PSF", 1.6), ("PSF", None), ("REX", 1.5), (None, 3.0), (None, None), ("EXP", 0.1)]
    galaxies = [Galaxy(str(i), redshift=z, morphtype=m, flux_L=FLUX, ivar_L=FLUX) for i, (m, z) in enumerate(rows)]
    table = to_table(galaxies, ["train"] * 6, SPEC)
    assert count_strata(table) == {"morphtypes": 4, "psf": 2, "high_redshifts": 2}
    assert count_strata(table.slice(0, 0)) == {"morphtypes": 0, "psf": 0, "high_redshifts": 0}


def test_share_error_and_significance():
    found = {
        (s.stratum, s.split): s for s in shares(counts((160, 40, 22), (1000, 200, 190), (30, 9, 8), (900, 180, 160)))
    }
    assert len(found) == 6
    val = found["PSF", "val"]
    assert (val.value, val.error) == (0.2, pytest.approx(math.sqrt(0.2 * 0.8 / 200)))
    # Independent: the chi-square of the 2 x 2 table is the square of the z of two proportions.
    for (stratum, split), members, known in (
        (("PSF", "val"), (40, 182), (200, 1190)),
        (("z > 1.5", "test"), (8, 39), (160, 1080)),
    ):
        table = [[m, k - m] for m, k in zip(members, known, strict=True)]
        share = found[stratum, split]
        assert abs(share.sigmas) == pytest.approx(math.sqrt(chi2_contingency(table, correction=False).statistic))
        assert np.sign(share.sigmas) == np.sign(members[0] / known[0] - members[1] / known[1])


def test_random_differences_are_not_significant_and_a_large_one_is():
    rng = np.random.default_rng(0)
    known = (7000, 1500, 1500)
    for _ in range(200):
        found = shares(counts(rng.binomial(known, 0.16), known, rng.binomial(known, 0.11), known))
        assert all(abs(s.sigmas) < 5 for s in found)
        assert sum(abs(s.sigmas) > MOST_SIGMA for s in found) <= 1
    found = shares(counts((1120, 240, 330), known, (770, 165, 165), known))
    assert [(s.stratum, s.split) for s in found if abs(s.sigmas) > MOST_SIGMA] == [("PSF", "test")]


@pytest.mark.parametrize(
    ("psf", "morphtypes"),
    [((0, 0, 0), (0, 0, 0)), ((3, 0, 0), (9, 0, 0)), ((0, 0, 0), (9, 4, 4)), ((9, 4, 4), (9, 4, 4))],
)
def test_no_significance_without_members_to_compare(psf, morphtypes):
    found = [s for s in shares(counts(psf, morphtypes)) if s.stratum == "PSF"]
    assert all(s.sigmas == 0 for s in found)
    assert [math.isnan(s.value) for s in found] == [n == 0 for n in morphtypes]
