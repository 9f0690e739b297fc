"""Completeness, purity, ellipses and classes on tables with known results."""

import numpy as np
import pytest

from mmae.core.errors import InputError
from mmae.steepspec.assessment.recovery import (
    CANDIDATE,
    CHANCE,
    CHANCE_CANDIDATES,
    INSIDE,
    PURITIES,
    STAGES,
    by_ellipse,
    completeness,
    confusion,
    match_truth,
    selection_by_snr,
)
from mmae.steepspec.assessment.tables import judge_share
from mmae.steepspec.schema import SOURCES
from tests.steepspec.assessment.truth_tables import detect, made, make_members, make_regions, make_truth, value


def test_match_is_one_to_one_and_nearest_first():
    truth = make_truth(4)
    arcsec = 1 / 3600
    sources = made(
        SOURCES,
        5,
        dec=np.zeros(5),
        ra=[10 + 3 * arcsec, 10 + 1 * arcsec, 10.01, 10.02 + 5.9 * arcsec, 10.03 + 6.1 * arcsec],
    )
    assert match_truth(sources, truth).tolist() == [-1, 0, 1, 2, -1]
    assert match_truth(sources, truth, radius_arcsec=7).tolist() == [-1, 0, 1, 2, 3]


def test_the_nearest_true_source_is_matched():
    truth = make_truth(2, ra=[10.0, 10.0 + 4 / 3600])
    sources = made(SOURCES, 1, ra=[10.0 + 3 / 3600], dec=[0.0])
    assert match_truth(sources, truth).tolist() == [1]


# completeness


def test_completeness_of_a_given_selection_is_exact():
    # expected flux at 1006 MHz = S1400 (1006/1400)^-2 = 1.937 S1400
    s1400 = np.array([0.05] * 10 + [0.2] * 20 + [2.0] * 10)
    truth = make_truth(40, s1400_mjy=s1400)
    rows = np.r_[0:2, 10:25, 30:40]
    steep = np.r_[np.zeros(2), np.ones(8), np.zeros(7), np.ones(10)].astype(bool)
    found_class = np.where(np.arange(27) < 4, "agn", "pulsar_candidate")
    sources = detect(truth, rows, steep=steep, source_class=found_class)
    shown = completeness(sources, truth, match_truth(sources, truth)).by_flux["truly steep"]
    by_label = {name: dict(zip(shown.labels, map(value, scores), strict=True)) for name, scores in shown.scores.items()}
    assert by_label["detected"]["below 0.15"] == (0.2, 10)
    assert by_label["detected"]["0.3 to 0.6"] == (0.75, 20)
    assert by_label["detected"]["2.5 to 5"] == (1.0, 10)
    assert by_label["called steep"]["0.3 to 0.6"] == (0.4, 20)
    assert by_label["classed pulsar"]["0.3 to 0.6"] == (0.3, 20)
    assert value(shown.total["detected"]) == (27 / 40, 40)
    assert shown.scores["detected"][1].n == 0 and np.isnan(shown.scores["detected"][1].value)
    score = shown.scores["detected"][2]
    assert (score.low, score.high) == pytest.approx((0.642857, 0.833333), abs=1e-6)  # Wilson interval, z = 1
    assert shown.centre[2] == pytest.approx(0.2 * (1006 / 1400) ** -2)


def test_completeness_excludes_known_pulsars_and_candidates_exclude_vetoed_ones():
    truth = make_truth(10, known=np.arange(10) < 4)
    sources = detect(truth, range(10), vetoed=np.arange(10) < 6)
    total = completeness(sources, truth, match_truth(sources, truth)).by_flux["all"].total
    assert [value(total[stage]) for stage in STAGES] == [(1.0, 6), (1.0, 6), (4 / 6, 6)]


def test_completeness_is_of_pulsars_and_truly_steep_is_below_the_limit():
    truth = make_truth(
        6, source_class=["agn", "star"] + ["pulsar_candidate"] * 4, alpha=[-2, -2, -2, -1.4, -1.3, -1.41]
    )
    sources = detect(truth, [2, 3])
    found = completeness(sources, truth, match_truth(sources, truth))
    assert value(found.by_flux["all"].total["detected"]) == (0.5, 4)
    assert value(found.by_flux["truly steep"].total["detected"]) == (0.5, 2)
    alpha = dict(zip(found.by_alpha.labels, found.by_alpha.scores["detected"], strict=True))
    assert value(alpha["-1.6 to -1.4"]) == (0.0, 1)  # the limit itself is not steep
    assert value(alpha["-1.4 to -1.2"]) == (0.5, 2)
    moved = completeness(sources, truth, match_truth(sources, truth), steep_limit=-1.2)
    assert moved.by_flux["truly steep"].total["detected"].n == 4


def test_unmatched_sources_do_not_count_for_completeness():
    truth = make_truth(3)
    sources = detect(truth, [0, 1])
    sources["ra"] += 1.0
    total = completeness(sources, truth, match_truth(sources, truth)).by_flux["all"].total
    assert [value(total[stage]) for stage in STAGES] == [(0.0, 3)] * 3


# purity


def test_purity_in_the_sky_in_ellipses_and_without_field_pulsars():
    # rows: 0-3 region pulsars, 4-11 field pulsars, 12-19 galaxies
    truth = make_truth(
        20, region=[0, 0, 1, 1] + [-1] * 16, source_class=["pulsar_candidate"] * 12 + ["radio_galaxy"] * 8
    )
    sources = detect(truth, range(20), snr=np.where(np.arange(20) % 2, 5.0, 100.0))
    inside = [0, 1, 4, 5, 12, 12, 13, 14, 15]  # source 12 is in two ellipses
    members = make_members(sources, inside, ["A"] * len(inside))
    found = selection_by_snr(sources, members, truth, match_truth(sources, truth))
    assert [value(found.total[name]) for name in PURITIES] == [(12 / 20, 20), (4 / 8, 8), (2 / 6, 6)]
    low = {name: value(scores[0]) for name, scores in found.scores.items()}
    assert found.labels[0] == "below 7"
    assert low[PURITIES[0]] == (0.6, 10) and low[PURITIES[1]] == (0.5, 4) and low[PURITIES[2]] == (1 / 3, 3)


def test_candidates_are_steep_classed_as_pulsars_and_not_vetoed():
    truth = make_truth(6)
    sources = detect(
        truth,
        range(6),
        steep=[1, 0, 1, 1, 1, 1],
        vetoed=[0, 0, 1, 0, 0, 0],
        source_class=["pulsar_candidate"] * 3 + ["ambiguous"] + ["pulsar_candidate"] * 2,
    )
    sources["dec"][5] += 0.1
    total = selection_by_snr(sources, make_members(sources, [], []), truth, match_truth(sources, truth)).total
    assert value(total[PURITIES[0]]) == (2 / 3, 3)  # sources 0, 4 and 5, of which 5 has no match
    assert total[PURITIES[1]].n == 0
    assert value(total["called steep"]) == (4 / 5, 5)
    assert value(total["classed pulsar"]) == (2 / 5, 5)


def test_recovery_is_of_detected_truly_steep_pulsars_without_known_ones():
    truth = make_truth(8, alpha=[-2] * 6 + [-1] * 2, known=[1] + [0] * 7)
    sources = detect(truth, [0, 1, 2, 3, 6, 7], steep=[1, 1, 0, 0, 1, 1])
    total = selection_by_snr(sources, make_members(sources, [0], ["A"]), truth, match_truth(sources, truth)).total
    assert value(total["called steep"]) == (1 / 3, 3)


# ellipses


@pytest.fixture
def ellipses():
    """Region "B" is not searched, "D" is outside the footprint. Rows 0-4: pulsars of A, A, B, C, C;
    5: field pulsar; 6-9: galaxies."""
    truth = make_truth(
        10,
        region=[0, 0, 1, 2, 2] + [-1] * 5,
        known=[0, 0, 0, 0, 1] + [0] * 5,
        source_class=["pulsar_candidate"] * 6 + ["radio_galaxy"] * 4,
    )
    sources = detect(truth, range(10), steep=[1, 1, 1, 0, 1, 1, 1, 0, 0, 0])
    inside = [(0, "A"), (1, "C"), (3, "C"), (4, "C"), (5, "A"), (6, "A"), (6, "C"), (7, "C"), (8, "C"), (9, "D")]
    members = make_members(sources, [row for row, _ in inside], [name for _, name in inside])
    regions = make_regions(["A", "C", "D"], [0.04, 0.2, 0.2], [True, True, False])
    return sources, members, regions, truth, match_truth(sources, truth), np.array(["A", "B", "C", "D"])


def test_pulsars_inside_their_own_ellipse_and_candidates_there(ellipses):
    found = by_ellipse(*ellipses)
    # A: 0 inside, 1 not (it is in C); C: 3 and 4 inside, 3 not steep, 4 known
    assert value(found.total[INSIDE]) == (3 / 4, 4)
    assert value(found.total[CANDIDATE]) == (1 / 3, 3)
    assert value(found.scores[INSIDE][0]) == (0.5, 2)
    assert value(found.scores[INSIDE][3]) == (1.0, 2)
    assert value(found.scores[CANDIDATE][3]) == (0.0, 1)


def test_purity_and_chance_sources_by_ellipse(ellipses):
    found = by_ellipse(*ellipses)
    # candidates: A 0, 5 (field), 6 (galaxy); C 1 (of region A), 4 (not vetoed), 6
    assert value(found.scores[PURITIES[1]][0]) == (2 / 3, 3)
    assert value(found.scores[PURITIES[2]][0]) == (1 / 2, 2)
    assert value(found.scores[PURITIES[2]][3]) == (2 / 3, 3)
    # chance: A 6; C 1, 6, 7, 8; D is outside the footprint
    assert value(found.scores[CHANCE][0]) == (1.0, 1)
    assert value(found.scores[CHANCE][3]) == (4.0, 1)
    assert value(found.total[CHANCE]) == (2.5, 2) and found.total[CHANCE].error == pytest.approx(1.5)
    assert value(found.total[CHANCE_CANDIDATES]) == (1.5, 2)


def test_ellipse_size_is_the_geometric_mean_of_the_semi_axes(ellipses):
    sources, members, regions, *rest = ellipses
    regions["semi_major"], regions["semi_minor"] = [0.04 * 4, 0.4, 0.2], [0.04 / 4, 0.1, 0.2]
    assert by_ellipse(sources, members, regions, *rest).scores[INSIDE][0].n == 2


def test_a_vetoed_source_is_not_a_candidate(ellipses):
    sources, *rest = ellipses
    sources["vetoed"][[0, 6]] = True
    found = by_ellipse(sources, *rest)
    assert value(found.total[CANDIDATE]) == (0.0, 3)
    assert found.scores[PURITIES[1]][0].n == 1


def test_undetected_pulsars_are_excluded_from_the_share_in_own_ellipse(ellipses):
    sources, members, regions, truth, match, names = ellipses
    keep = np.arange(10) != 1
    members = members[np.asarray(members["source_id"]) != "S1"]
    found = by_ellipse(sources[keep], members, regions, truth, match[keep], names)
    assert value(found.total[INSIDE]) == (1.0, 3)


def test_share_in_own_ellipse_of_gaussian_offsets_is_95_percent():
    rng = np.random.default_rng(5)
    n = 2000
    truth, regions = make_truth(n, region=np.arange(n)), make_regions([f"R{i}" for i in range(n)])
    sources = detect(truth, range(n))
    radius = np.hypot(*rng.normal(size=(2, n))) / np.sqrt(2 * np.log(20))
    rows = np.flatnonzero(radius <= 1)
    members = make_members(sources, rows, [f"R{i}" for i in rows])
    inside = by_ellipse(sources, members, regions, truth, match_truth(sources, truth), regions["name"]).total[INSIDE]
    assert judge_share(inside, 0.95).ok is True
    assert judge_share(inside, 0.90).ok is False


def test_sources_with_the_same_name_are_distinguished_by_position(ellipses):
    before = by_ellipse(*ellipses).total
    sources, members, *rest = ellipses
    sources["source_id"], members["source_id"] = "same", "same"
    after = by_ellipse(sources, members, *rest).total
    assert {name: value(score) for name, score in after.items()} == {
        name: value(score) for name, score in before.items()
    }


# classes


def test_confusion_of_all_and_of_steep_sources():
    truth = make_truth(6, source_class=["pulsar_candidate", "pulsar_candidate", "agn", "star", "radio_galaxy", "agn"])
    sources = detect(
        truth,
        range(6),
        steep=[1, 0, 1, 0, 0, 1],
        vetoed=[0, 0, 0, 0, 0, 1],
        source_class=["pulsar_candidate", "ambiguous", "agn", "agn", "radio_galaxy", "agn"],
    )
    sources["dec"][4] += 0.1
    found = confusion(sources, truth, match_truth(sources, truth))
    pulsar, _, agn, star, ambiguous = range(5)
    assert found.unmatched == 1 and found.all_TF.sum() == 4 and found.steep_TF.sum() == 2
    assert found.all_TF[pulsar, pulsar] == found.all_TF[pulsar, ambiguous] == found.all_TF[star, agn] == 1
    assert found.steep_TF[pulsar, pulsar] == found.steep_TF[agn, agn] == 1


# wrong input


@pytest.mark.parametrize("match", [[0, 1], [0, 1, 9], [0, 1, -2], [0, 1, 1]])
def test_error_on_a_match_of_other_tables(match):
    truth = make_truth(4)
    with pytest.raises(InputError, match="match_truth"):
        completeness(detect(truth, range(3)), truth, np.array(match))


def test_error_on_tables_of_different_searches(ellipses):
    sources, members, regions, truth, match, names = ellipses
    with pytest.raises(InputError, match=r"members: source \('S5'"):
        by_ellipse(sources[:5], members, regions, truth, match[:5], names)
    with pytest.raises(InputError, match="members: region D"):
        by_ellipse(sources, members, regions[:2], truth, match, names)
    with pytest.raises(InputError, match=r"region 2 .*\b2 names"):
        by_ellipse(sources, members, regions, truth, match, names[:2])
    with pytest.raises(InputError, match="regions: 4 rows.* 3 "):
        by_ellipse(sources, members, regions[[0, 0, 1, 2]], truth, match, names)
