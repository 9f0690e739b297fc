"""Line widths, like with like."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmae.realism.lines import line_section, observe_widths, positive
from mmae.realism.reference import LINE_NAMES, RealLines, read_lines
from tests.ingest.files import SHARED_GALAXIES, needs_shared
from tests.realism.surveys import line_widths


def objects_with(objects, width_NJ: np.ndarray, redshift: float = 0.2):
    """Objects that are all BGS galaxies of these true widths."""
    n = len(width_NJ)
    truth = {
        "target_class": np.full(n, "BGS"),
        "galaxy_type": np.full(n, "star_forming"),
        "redshift_true": np.full(n, redshift),
        **{f"{name}_ew": width_NJ[:, j] for j, name in enumerate(LINE_NAMES)},
    }
    return dataclasses.replace(objects, object_id_N=np.arange(n).astype(str), truth=truth)


def rows(section, name: str) -> dict[str, tuple]:
    return {row[0]: row for row in next(t for t in section.tables if t.name == name).rows}


def test_errors_come_from_real_galaxies_of_the_same_halpha(rng):
    # Weak galaxies are measured well, strong ones badly.
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


def test_only_galaxies_with_six_positive_widths_stay():
    widths = np.ones((3, 6))
    widths[1, 4] = -0.1
    assert len(positive(widths).width_NJ) == 2


def test_the_same_population_is_met(rng, objects, reference):
    section = line_section(objects_with(objects, line_widths(1500, rng)), reference, seed=0)
    assert all(row[-1].ok for row in rows(section, "widths").values())
    assert all(row[8] < 0.15 for row in rows(section, "widths").values())
    assert all(row[-1].ok for row in rows(section, "correlation").values())


def test_a_line_twice_too_strong_is_a_miss_in_width_and_ratio(rng, objects, reference):
    widths = line_widths(1500, rng)
    widths[:, LINE_NAMES.index("nii_6584")] *= 2
    found = rows(line_section(objects_with(objects, widths), reference, seed=0), "widths")
    assert {name for name, row in found.items() if not row[-1].ok} == {"[N II] [A]", "[N II]/H-alpha"}


def test_lines_that_go_their_own_ways_are_a_miss_in_correlation(rng, objects, reference):
    widths = line_widths(1500, rng)
    for j in range(6):
        widths[:, j] = rng.permutation(widths[:, j])
    found = rows(line_section(objects_with(objects, widths), reference, seed=0), "correlation")
    assert not any(row[-1].ok for row in found.values())


def test_other_classes_and_redshifts_do_not_count(rng, objects, reference):
    far = line_section(objects_with(objects, line_widths(500, rng), redshift=0.5), reference, seed=0)
    assert "only 0 simulated galaxies" in far.left_out
    without = dataclasses.replace(objects, truth=None)
    assert "no truth table" in line_section(without, reference, seed=0).left_out


@needs_shared
def test_the_real_table_holds_positive_widths_only():
    real = read_lines(SHARED_GALAXIES)
    assert len(real.width_NJ) == 43_752 and (real.width_NJ > 0).all()
    assert 0.05 < real.redshift_N.min() and real.redshift_N.max() <= 0.3
