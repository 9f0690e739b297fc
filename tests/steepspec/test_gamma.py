"""The gamma-ray ranking on real 4FGL releases, if available, and on simulated sources."""

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from mmae.core.errors import InputError
from mmae.steepspec.gamma import (
    EXTRAGALACTIC_CLASSES,
    FERMI_SCORE,
    PULSAR_CLASSES,
    check_later,
    fit_score,
    is_class,
    link_releases,
    pulsar_features,
    pulsar_score,
    rank_pulsars,
    ranking_auc,
)
from mmae.steepspec.regions import read_4fgl

DATA = Path(__file__).parents[3] / "shared" / "data" / "gamma_radio"
needs_fermi = pytest.mark.skipif(not (DATA / "gll_psc_v35.fit").exists(), reason=f"the 4FGL releases are not in {DATA}")


def features(table, intervals):
    return pulsar_features(
        table["LP_beta"], table["Variability_Index"], table["LP_SigCurv"], table["PLEC_SigCurv"], intervals=intervals
    )


@pytest.fixture(scope="module")
def releases():
    """Rows of v20 linked to v35: their features in both releases, and selections by class."""
    old = Table.read(DATA / "gll_psc_v20.fit", hdu=1)
    new = Table.read(DATA / "gll_psc_v35.fit", hdu=1)
    link = link_releases(
        old["Source_Name"],
        old["RAJ2000"],
        old["DEJ2000"],
        old["Conf_95_SemiMajor"],
        new["Source_Name"],
        new["ASSOC_4FGL"],
        new["RAJ2000"],
        new["DEJ2000"],
    )
    kept = link >= 0
    old, new = old[kept], new[link[kept]]
    return {
        "unlinked": int((~kept).sum()),
        "old": old,
        "new": new,
        "was_blank": is_class(old["CLASS1"], ("",)),
        "is_blank": is_class(new["CLASS1"], ("",)),
        "pulsar": is_class(new["CLASS1"], PULSAR_CLASSES),
        "far": is_class(new["CLASS1"], EXTRAGALACTIC_CLASSES),
        "features_v20": features(old, 8),
        "features_v35": features(new, 14),
    }


@needs_fermi
def test_new_pulsars_rank_above_the_other_new_associations(releases):
    scored = releases["was_blank"] & ~releases["is_blank"]
    pulsar = releases["pulsar"][scored]
    assert pulsar.sum() == 67 and (~pulsar).sum() == 34
    auc, error = ranking_auc(pulsar_score(releases["features_v35"][scored]), pulsar)
    auc_v20, _ = ranking_auc(pulsar_score(releases["features_v20"][scored]), pulsar)
    # Binaries (mostly spider pulsar candidates) and globular clusters (many millisecond pulsars)
    # are "not pulsars" in the AUC above.
    kept = ~is_class(releases["new"]["CLASS1"], ("bin", "lmb", "glc"))[scored]
    plain, plain_error = ranking_auc(pulsar_score(releases["features_v35"][scored][kept]), pulsar[kept])
    print(
        f"AUC v35 {auc:.3f} +- {error:.3f}, v20 {auc_v20:.3f}; without bin, lmb, glc {plain:.3f} +- {plain_error:.3f}"
    )
    assert auc >= 0.80
    assert auc_v20 >= 0.77  # from the 8 years of v20
    assert plain >= 0.85


@needs_fermi
def test_auc_of_the_job_equals_that_of_the_linked_releases(releases):
    """The values that the job reports with --later-regions, from its own reader."""
    check = check_later(read_4fgl(DATA / "gll_psc_v20.fit"), read_4fgl(DATA / "gll_psc_v35.fit"), years=2)
    scored = releases["was_blank"] & ~releases["is_blank"]
    pulsar = releases["pulsar"][scored]
    for auc, features in ((check.auc_earlier, "features_v20"), (check.auc_later, "features_v35")):
        assert auc == pytest.approx(ranking_auc(pulsar_score(releases[features][scored]), pulsar)[0])
    assert (check.pulsars, check.others) == (67, 34) and 0.03 < check.error_later < 0.06


@needs_fermi
def test_coefficients_are_those_of_a_fit_to_sources_outside_the_test(releases):
    trained = ~releases["was_blank"] & ~releases["is_blank"]
    again = fit_score(*(releases[name][trained] for name in ("features_v35", "pulsar", "far")))
    assert np.allclose([again.bias, *again.weight_F], [FERMI_SCORE.bias, *FERMI_SCORE.weight_F], atol=2e-3)


@needs_fermi
def test_releases_are_linked_by_name_or_position(releases):
    assert releases["unlinked"] == 30  # by name alone: 116
    old, new = releases["old"], releases["new"]
    offset = np.hypot((new["RAJ2000"] - old["RAJ2000"] + 180) % 360 - 180, new["DEJ2000"] - old["DEJ2000"])
    assert np.median(np.asarray(offset)) < 0.02


def test_link_prefers_the_association_to_the_nearest_source_and_is_unique():
    link = link_releases(
        ["4FGL A", "4FGL B", "4FGL C", "4FGL D", "4FGL E"],
        [10.0, 20.0, 359.999, 0.0, 20.01],
        [0.0] * 5,
        [0.1, 0.1, 0.1, np.nan, 0.1],
        ["4FGL A2", "4FGL B", "4FGL X", "4FGL Z"],
        ["4FGL A", "4FGL B", "", ""],
        [10.5, 20.0, 0.001, 10.0],
        [0.0, 0.0, 0.0, 0.0],
    )
    assert link.tolist() == [0, 1, 2, -1, -1]


def test_curved_steady_sources_outrank_flat_variable_ones():
    simulated = pulsar_features(
        [0.5, 0.05, 0.5, np.nan], [13.0, 13.0, 300.0, 13.0], [5.0] * 4, [6.0, 5, 5, 5], intervals=14
    )
    score = pulsar_score(simulated)
    assert score[0] > max(score[1], score[2]) and np.isnan(score[3])
    assert rank_pulsars(score)[0] == 1 and rank_pulsars(score)[3] == 4


def test_fit_recovers_the_direction_with_equal_weights_of_the_groups():
    rng = np.random.default_rng(1)
    x = np.concatenate(
        [rng.normal([1, 0, 0], 1, (500, 3)), rng.normal([0, 0, 0], 1, (5000, 3)), rng.normal([0, 3, 0], 1, (50, 3))]
    )
    pulsar = np.arange(len(x)) < 500
    group = np.where(np.arange(len(x)) < 5500, 0, 1)
    model = fit_score(x, pulsar, group)
    assert model.weight_F[0] > 0.5 and model.weight_F[1] < -0.5 and abs(model.weight_F[2]) < 0.3
    with pytest.raises(InputError, match="CLASS1"):
        fit_score(x, np.ones(len(x), bool), group)


def test_auc_of_known_scores():
    assert ranking_auc([3.0, 2.0, 1.0], [True, False, False])[0] == 1.0
    assert ranking_auc([1.0, 1.0], [True, False])[0] == 0.5
    rng = np.random.default_rng(0)
    truth = rng.random(400) < 0.5
    auc, error = ranking_auc(rng.normal(truth * 1.0, 1.0), truth)
    assert abs(auc - 0.7602) < 4 * error  # normal CDF of 1/sqrt(2)
    assert 0.015 < error < 0.04  # Hanley & McNeil (1982): 0.024


def test_error_names_the_invalid_argument():
    with pytest.raises(InputError, match=r"LP_beta \(2,\)"):
        pulsar_features([1.0, 2.0], [1.0], [1.0], [1.0], intervals=8)
    with pytest.raises(InputError, match="intervals, not 1"):
        pulsar_features([1.0], [1.0], [1.0], [1.0], intervals=1)
    with pytest.raises(InputError, match="2 pulsars, 0 others"):
        ranking_auc([1.0, 2.0], [True, True])
