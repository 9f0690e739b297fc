"""Splits: fractions hold, groups stay together, nothing but group and seed decides."""

import subprocess
import sys
from collections import Counter

import pytest

from mmae.errors import InputError
from mmae.survey.splits import DEFAULT_FRACTIONS, assign_split, check_fractions

N = 20_000


def test_fractions_hold_within_the_statistical_error():
    counts = Counter(assign_split(f"galaxy-{i}", DEFAULT_FRACTIONS, seed=3) for i in range(N))
    assert sum(counts.values()) == N
    for name, fraction in zip(("train", "val", "test"), (0.70, 0.15, 0.15), strict=True):
        sigma = (N * fraction * (1 - fraction)) ** 0.5
        assert abs(counts[name] - N * fraction) < 4 * sigma


def test_seed_changes_the_split_of_about_as_many_as_chance_says():
    splits = [[assign_split(str(i), DEFAULT_FRACTIONS, seed) for i in range(N)] for seed in (0, 1)]
    moved = sum(a != b for a, b in zip(*splits, strict=True))
    expected = 1 - (0.70**2 + 0.15**2 + 0.15**2)
    assert abs(moved / N - expected) < 4 * (expected * (1 - expected) / N) ** 0.5


def test_same_in_another_process_with_another_hash_seed():
    ids = [f"parent-{i}" for i in range(200)]
    code = ("from mmae.survey.splits import assign_split, DEFAULT_FRACTIONS as f\n"
            "print(','.join(assign_split(f'parent-{i}', f, 7) for i in range(200)))")
    for hash_seed in ("1", "2"):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                              check=True, env={"PYTHONHASHSEED": hash_seed,
                                               "PYTHONPATH": ":".join(sys.path)})
        here = [assign_split(i, DEFAULT_FRACTIONS, 7) for i in ids]
        assert done.stdout.strip().split(",") == here


def test_known_values_do_not_change_between_versions():
    # A change here would move galaxies of published surveys from test to train.
    assert [assign_split(i, DEFAULT_FRACTIONS, 0) for i in "abcdefgh"] == [
        "val", "train", "train", "test", "train", "train", "test", "train"]


@pytest.mark.parametrize(("fractions", "names"), [
    ((1.0, 0.0, 0.0), {"train"}), ((0.7, 0.3, 0.0), {"train", "val"}),
    ((0.5, 0.0, 0.5), {"train", "test"})])
def test_empty_splits_stay_empty(fractions, names):
    assert {assign_split(str(i), fractions, 0) for i in range(2000)} == names


def test_rounded_fractions_do_not_fill_an_empty_test_split():
    # The hash of this group is 0.99999944, above 0.7 + 0.2999993.
    assert assign_split("463282", (0.7, 0.2999993, 0.0), 0) == "val"


@pytest.mark.parametrize(("fractions", "says"), [
    ((0.7, 0.15), "2 given"), ((0.7, 0.2, 0.2), "sum to 1.1"),
    ((1.2, -0.1, -0.1), "between 0 and 1"),
    ((float("nan"), 0.5, 0.5), "between 0 and 1"), ((0.0, 0.5, 0.5), "nothing is left to train")])
def test_bad_fractions_are_refused(fractions, says):
    with pytest.raises(InputError, match=says):
        check_fractions(fractions)
    with pytest.raises(InputError, match="0.7 0.15 0.15"):
        assign_split("a", fractions, 0)
