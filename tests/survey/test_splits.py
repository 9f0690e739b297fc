"""Splits: fractions, one split per cell and group, and dependence on position or group and seed only."""

import hashlib
import subprocess
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from mmae.astro.healpix import sky_cell
from mmae.core.errors import InputError
from mmae.survey.schema import SPLITS
from mmae.survey.splits import (
    DEFAULT_FRACTIONS,
    assign_split,
    check_fractions,
    check_nside,
    far_from_fractions,
    hash_splits,
    splitting_units,
)

N = 20_000


def test_fractions_agree_within_the_statistical_error():
    counts = Counter(assign_split(f"galaxy-{i}", DEFAULT_FRACTIONS, seed=3) for i in range(N))
    assert sum(counts.values()) == N
    for name, fraction in zip(("train", "val", "test"), (0.70, 0.15, 0.15), strict=True):
        sigma = (N * fraction * (1 - fraction)) ** 0.5
        assert abs(counts[name] - N * fraction) < 4 * sigma


def test_seed_changes_the_expected_number_of_splits():
    splits = [[assign_split(str(i), DEFAULT_FRACTIONS, seed) for i in range(N)] for seed in (0, 1)]
    changed = sum(a != b for a, b in zip(*splits, strict=True))
    expected = 1 - (0.70**2 + 0.15**2 + 0.15**2)
    assert abs(changed / N - expected) < 4 * (expected * (1 - expected) / N) ** 0.5


def test_splits_are_the_same_in_a_process_with_another_hash_seed():
    ids = [f"parent-{i}" for i in range(200)]
    code = (
        "from mmae.survey.splits import assign_split, DEFAULT_FRACTIONS as f\n"
        "print(','.join(assign_split(f'parent-{i}', f, 7) for i in range(200)))"
    )
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
        )
        here = [assign_split(i, DEFAULT_FRACTIONS, 7) for i in ids]
        assert done.stdout.strip().split(",") == here


def test_splits_of_units_do_not_change_between_versions():
    # A change would put galaxies of existing surveys from test into train.
    assert [assign_split(i, DEFAULT_FRACTIONS, 0) for i in "abcdefgh"] == [
        "val",
        "train",
        "train",
        "test",
        "train",
        "train",
        "test",
        "train",
    ]


@pytest.mark.parametrize(
    ("fractions", "names"),
    [
        ((1.0, 0.0, 0.0), {"train"}),
        ((0.7, 0.3, 0.0), {"train", "val"}),
        ((0.5, 0.0, 0.5), {"train", "test"}),
        ((0.0, 0.0, 1.0), {"test"}),
        ((0.0, 0.5, 0.5), {"val", "test"}),
    ],
)
def test_empty_splits_stay_empty(fractions, names):
    assert {assign_split(str(i), fractions, 0) for i in range(2000)} == names


def test_rounded_fractions_do_not_fill_an_empty_test_split():
    # The hash of this group is 0.99999944, above 0.7 + 0.2999993.
    assert assign_split("463282", (0.7, 0.2999993, 0.0), 0) == "val"


@pytest.mark.parametrize(
    ("fractions", "named"),
    [
        ((0.7, 0.15), ": 2 "),
        ((0.7, 0.2, 0.2), r"1\.1;"),
        ((1.2, -0.1, -0.1), "split fractions: "),
        ((float("nan"), 0.5, 0.5), "split fractions: "),
    ],
)
def test_invalid_fractions_are_refused(fractions, named):
    with pytest.raises(InputError, match=named):
        check_fractions(fractions)
    with pytest.raises(InputError, match="0.7 0.15 0.15"):
        assign_split("a", fractions, 0)


def splits_at(ra, dec) -> list[str]:
    units = splitting_units(ra, dec, [str(i) for i in range(len(ra))], 512)
    return [assign_split(unit, DEFAULT_FRACTIONS, 0) for unit in units]


def test_a_cell_has_one_split_and_cells_are_independent():
    """For the field of the embedded survey, 2.5 degrees wide."""
    rng = np.random.default_rng(5)
    ra, dec = rng.uniform(149.0, 151.5, 6000), rng.uniform(1.0, 3.5, 6000)
    splits = splits_at(ra, dec)
    cells = sky_cell(ra, dec, 512)
    of_cell = {}
    for cell, split in zip(cells, splits, strict=True):
        of_cell.setdefault(int(cell), set()).add(split)
    assert all(len(found) == 1 for found in of_cell.values())
    counts = Counter(split for found in of_cell.values() for split in found)
    assert len(of_cell) > 450
    for name, fraction in zip(("train", "val", "test"), DEFAULT_FRACTIONS, strict=True):
        sigma = (len(of_cell) * fraction * (1 - fraction)) ** 0.5
        assert abs(counts[name] - len(of_cell) * fraction) < 4 * sigma
        assert splits.count(name) / 6000 == pytest.approx(fraction, abs=0.06)  # 12 galaxies per cell


def test_fractions_of_thousands_of_cells():
    rng = np.random.default_rng(6)
    ra, dec = rng.uniform(0, 360, 8000), rng.uniform(-60, 60, 8000)  # almost as many cells
    counts = Counter(splits_at(ra, dec))
    for name, fraction in zip(("train", "val", "test"), DEFAULT_FRACTIONS, strict=True):
        assert counts[name] / 8000 == pytest.approx(fraction, abs=4 * (fraction * (1 - fraction) / 8000) ** 0.5)


@pytest.mark.parametrize(
    ("rows", "fractions", "far"),
    [
        ((746, 124, 129), (0.7, 0.15, 0.15), []),
        ((72, 0, 0), (0.7, 0.15, 0.15), ["train", "val", "test"]),
        ((69, 30, 1), (0.7, 0.15, 0.15), ["val", "test"]),
        ((100, 0, 0), (1.0, 0.0, 0.0), []),
        ((90, 8, 2), (0.9, 0.05, 0.05), ["test"]),
        ((0, 0, 0), (0.7, 0.15, 0.15), ["train", "val", "test"]),
    ],
)
def test_splits_far_from_their_fractions(rows, fractions, far):
    assert far_from_fractions(dict(zip(SPLITS, rows, strict=True)), fractions) == far


def test_the_unit_of_rows_without_position_is_their_group():
    ra, dec = [None, 10.0, None, float("nan"), 10.0], [None, None, 1.0, 1.0, -999.0]
    groups = [f"parent-{i}" for i in range(5)]
    assert splitting_units(ra, dec, groups, 512) == groups
    assert splitting_units([10.0] * 5, [1.0] * 5, groups, 0) == groups
    assert splitting_units([*ra, 10.0, 10.0], [*dec, 1.0, 1.0], [*groups, "a", "b"], 512) == [
        *groups,
        *[f"healpix-512-{sky_cell(10.0, 1.0, 512)}"] * 2,
    ]


def test_splits_of_cells_do_not_change_between_versions():
    positions = [(150.1, 2.2), (150.4, 2.2), (150.7, 2.2), (151.0, 2.2), (0.0, -30.0), (359.9, 80.0)]
    ra, dec = zip(*positions, strict=True)
    assert splitting_units(ra, dec, ["g"] * 6, 512)[0] == "healpix-512-1513302"
    assert splits_at(ra, dec) == ["train", "train", "train", "train", "train", "train"]


@pytest.mark.parametrize("nside", [-1, 1 << 30, 512.0, True, "512"])
def test_invalid_nside_is_refused(nside):
    with pytest.raises(InputError, match="split nside: "):
        check_nside(nside)


def test_split_hash_depends_on_pairs_and_not_on_their_order():
    def of(pairs, chunks=1):
        columns = [pa.chunked_array(np.array_split([p[i] for p in pairs], chunks), pa.string()) for i in (0, 1)]
        return hash_splits(*columns)

    pairs = [(f"g{i}", ("train", "val", "test")[i % 3]) for i in range(50)]
    here = of(pairs)
    assert of(pairs[::-1]) == of(pairs[20:] + pairs[:20], chunks=7) == here
    assert of(pairs[1:]) != here and of([*pairs, pairs[0]]) != here
    assert of([("g0", "test"), *pairs[1:]]) != here and of([("h0", "train"), *pairs[1:]]) != here
    swapped = [("g0", "val"), ("g1", "train"), *pairs[2:]]  # the same number of rows per split
    assert of(swapped) != here
    expected = hashlib.blake2b(b"a\ttrain\nb\tval\n", digest_size=16).hexdigest()
    assert of([("b", "val"), ("a", "train")]) == expected


def test_split_hash_of_several_blocks_of_rows(monkeypatch):
    names, splits = pa.chunked_array([[f"g{i}" for i in range(10)]]), pa.chunked_array([["train"] * 10])
    at_once = hash_splits(names, splits)
    monkeypatch.setattr("mmae.survey.splits._LINES", 3)
    assert hash_splits(names, splits) == at_once
