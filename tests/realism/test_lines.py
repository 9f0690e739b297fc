"""Line widths after the selection of the real sample."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmae.astro.lines import LINE_NAMES
from mmae.realism.lines import line_section, observe_widths, positive
from mmae.realism.reference import RealLines, read_lines
from mmae.realism.rows import NO_TRUTH
from tests.ingest.files import SHARED_GALAXIES, needs_shared
from tests.realism.surveys import line_widths, table_rows


def objects_with(objects, width_NJ: np.ndarray, redshift: float = 0.2):
    """BGS galaxies with the given true widths."""
    n = len(width_NJ)
    truth = {
        "target_class": np.full(n, "BGS"),
        "galaxy_type": np.full(n, "star_forming"),
        "redshift_true": np.full(n, redshift),
        **{f"{name}_ew": width_NJ[:, j] for j, name in enumerate(LINE_NAMES)},
    }
    return dataclasses.replace(objects, object_id_N=np.arange(n).astype(str), truth=truth)


def test_errors_are_those_of_real_galaxies_of_similar_halpha_width(rng):
    # Small errors for weak, large errors for strong H-alpha.
    halpha = np.repeat([1.0, 100.0], 50) * rng.uniform(0.9, 1.1, 100)
    width = np.ones((100, 6))
    width[:, LINE_NAMES.index("halpha")] = halpha
    ivar = np.where(halpha[:, None] < 10, 1e4, 1.0) * np.ones(6)
    real = RealLines(np.full(100, 0.1), width, ivar)
    true = np.ones((4000, 6))
    true[:, LINE_NAMES.index("halpha")] = np.repeat([1.0, 100.0], 2000)
    error = observe_widths(true, real, rng) - true
    assert error[:2000].std() == pytest.approx(0.01, rel=0.05)
    assert error[2000:].std() == pytest.approx(1.0, rel=0.05)


def test_only_galaxies_with_six_positive_widths_are_kept():
    widths = np.ones((3, 6))
    widths[1, 4] = -0.1
    assert len(positive(widths).width_NJ) == 2


def test_equal_populations_pass(rng, objects, reference):
    section = line_section(objects_with(objects, line_widths(1500, rng)), reference, seed=0)
    widths, correlation = table_rows(section, "widths"), table_rows(section, "correlation")
    assert len(widths) == 11 and len(correlation) == 15
    assert all(row["verdict"].ok and row["ks_distance"] < 0.15 for row in widths)
    assert all(row["verdict"].ok for row in correlation)


def test_a_line_twice_too_strong_fails_in_width_and_ratio(rng, objects, reference):
    widths = line_widths(1500, rng)
    widths[:, LINE_NAMES.index("nii_6584")] *= 2
    found = table_rows(line_section(objects_with(objects, widths), reference, seed=0), "widths")
    assert {row["quantity"] for row in found if not row["verdict"].ok} == {"[N II] [A]", "[N II]/H-alpha"}


def test_uncorrelated_widths_fail(rng, objects, reference):
    widths = line_widths(1500, rng)
    for j in range(6):
        widths[:, j] = rng.permutation(widths[:, j])
    found = table_rows(line_section(objects_with(objects, widths), reference, seed=0), "correlation")
    assert len(found) == 15 and not any(row["verdict"].ok for row in found)


def test_section_without_galaxies_in_the_redshift_range_or_truth(rng, objects, reference):
    far = line_section(objects_with(objects, line_widths(500, rng), redshift=0.5), reference, seed=0)
    assert " 0 " in far.left_out and not far.tables
    without = dataclasses.replace(objects, truth=None)
    assert line_section(without, reference, seed=0).left_out == NO_TRUTH


@needs_shared
def test_real_table_contains_positive_widths_only():
    real = read_lines(SHARED_GALAXIES)
    assert len(real.width_NJ) == 43_752 and (real.width_NJ > 0).all()
    assert 0.05 < real.redshift_N.min() and real.redshift_N.max() <= 0.3
