"""Likelihood-ratio counterparts in simulated fields with known counterparts."""

from types import SimpleNamespace

import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.steepspec.config import MatchSettings
from mmae.steepspec.counterparts import _counterpart_magnitudes, find_counterparts


def field(seed=0, n=3000, q0=0.7, density=18_000.0, error=1.0, dec0=0.0, other_error=0.3):
    """Radio sources and a catalogue in a square degree; counterparts are brighter than unrelated objects."""
    rng = np.random.default_rng(seed)
    stretch = np.cos(np.deg2rad(dec0))  # of right ascension at dec0
    true = np.stack([rng.uniform(0, 1, n) / stretch, dec0 + rng.uniform(-0.5, 0.5, n)])
    noise = rng.normal(size=(2, n)) * error / 3600
    radio = true + noise / np.array([[stretch], [1]])
    has = rng.random(n) < q0
    noise = rng.normal(size=(2, n)) * other_error / 3600
    own = (true + noise / np.array([[stretch], [1]]))[:, has]
    unrelated = rng.poisson(density * 1.1 * 1.1)
    x, y = rng.uniform(-0.05, 1.05, (2, unrelated))
    back = np.stack([x / stretch, dec0 + y - 0.5])
    faint = 23 + np.log10(rng.random(unrelated)) / 0.35
    magnitude = np.concatenate([rng.normal(20.5, 1.5, has.sum()), faint])
    answer = np.full(n, -1)
    answer[has] = np.arange(has.sum())
    catalogue = np.concatenate([own, back], axis=1)
    order = rng.permutation(len(magnitude))
    new_row = np.empty(len(order), dtype=int)
    new_row[order] = np.arange(len(order))
    answer[has] = new_row[answer[has]]
    found = find_counterparts(
        radio[0] % 360, radio[1], error, catalogue[0, order] % 360, catalogue[1, order], other_error, magnitude[order]
    )
    return SimpleNamespace(found=found, answer=answer, n=n)


@pytest.fixture(scope="module")
def plain():
    return field()


@pytest.mark.parametrize("q0", [0.0, 0.3, 0.7, 0.95])
def test_q0_is_recovered(q0):
    found = field(seed=2, q0=q0).found
    assert found.q0 == pytest.approx(q0, abs=0.03)
    assert found.background_deg2 == pytest.approx(18_000 + 3000 * q0, rel=0.05)


def test_completeness_and_purity_agree_with_the_reliabilities(plain):
    f = plain.found
    has = plain.answer >= 0
    reliable = f.best_reliability > 0.8
    correct = f.best == plain.answer
    completeness = (reliable & correct & has).sum() / has.sum()
    purity = (correct & reliable).sum() / reliable.sum()
    assert completeness > 0.85 and purity > 0.95
    assert purity == pytest.approx(f.best_reliability[reliable].mean(), abs=0.015)


def test_reliability_is_calibrated(plain):
    f = plain.found
    true = plain.answer[f.source] == f.candidate
    for low, high in ((0.0, 0.1), (0.1, 0.4), (0.4, 0.7), (0.7, 0.9), (0.9, 1.0)):
        inside = (f.reliability >= low) & (f.reliability < high)
        p = f.reliability[inside].mean()
        assert true[inside].mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / inside.sum()) + 0.03)
    assert f.reliability.sum() == pytest.approx(true.sum(), rel=0.03)


def test_p_none_is_calibrated_and_sums_to_1_with_the_reliabilities(plain):
    f = plain.found
    none = plain.answer < 0
    total = np.bincount(f.source, weights=f.reliability, minlength=plain.n) + f.p_none
    assert np.allclose(total, 1)
    for low, high in ((0.0, 0.2), (0.2, 0.8), (0.8, 1.01)):
        inside = (f.p_none >= low) & (f.p_none < high)
        p = f.p_none[inside].mean()
        assert none[inside].mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / inside.sum()) + 0.03)


def test_the_likelihood_ratio_falls_with_separation():
    pairs = field(seed=4).found
    highest = np.argsort(pairs.likelihood_ratio)[::-1]
    assert pairs.separation_arcsec[highest[:200]].max() < 3
    far = pairs.separation_arcsec > 6  # 6 sigma
    assert pairs.reliability[far].max() < 0.01


def test_results_at_high_declination():
    f = field(seed=5, dec0=75.0, n=2000)
    assert f.found.q0 == pytest.approx(0.7, abs=0.04)
    has = f.answer >= 0
    assert ((f.found.best == f.answer) & has).sum() / has.sum() > 0.9


def test_objects_without_magnitude_and_empty_catalogues():
    ra, dec = np.arange(50) * 0.05, np.zeros(50)
    ring = np.concatenate([ra + 15 / 3600, ra - 12 / 3600]) % 360
    objects, unknown = np.concatenate([ra, ring]), np.full(150, np.nan)
    found = find_counterparts(ra, dec, 1.0, objects, np.zeros(150), 0.3, unknown)
    assert (found.best == np.arange(50)).all() and found.best_reliability.min() > 0.9
    none = find_counterparts(ra, dec, 1.0, [], [], 0.3, [])
    assert (none.p_none == 1).all() and (none.best == -1).all() and none.q0 == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"error_arcsec": 0.0}, "radio sources: .*row 0 first, 2 in all"),
        ({"catalogue_error_arcsec": -1.0}, "counterpart catalogue: .*row 0 first, 2 in all"),
        ({"magnitude": [1.0]}, r"magnitude \(1,\)"),
        ({"settings": MatchSettings(search_radius=15.0)}, "search 15, ring 10 to 20"),
        ({"settings": MatchSettings(ring=(100.0, 101.0))}, r"100 to 101 arcsec.*MatchSettings\.ring"),
    ],
)
def test_error_names_the_invalid_argument(change, named):
    good = {
        "ra": [10.0, 11.0],
        "dec": [0.0, 0.0],
        "error_arcsec": 1.0,
        "catalogue_ra": [10.0, 10.004],
        "catalogue_dec": [0.0, 0.0],
        "catalogue_error_arcsec": 0.3,
        "magnitude": [20.0, 21.0],
    }
    find_counterparts(**good)
    with pytest.raises(InputError, match=named):
        find_counterparts(**(good | change))


def test_background_is_subtracted_from_the_magnitudes_of_counterparts():
    share = _counterpart_magnitudes(np.array([30.0, 12.0, 10.0, 5.0]), np.array([0.0, 2.0, 12.0, 5.0]), 0.0)
    assert np.allclose(share, [0.75, 0.25, 0, 0])
