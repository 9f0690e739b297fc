"""Bins, rates and means, including empty ones."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from mmae.metrics.bootstrap import Score
from mmae.steepspec.assessment.bins import binned, mean, rate, take


def test_bins_include_their_low_edge_and_no_nan():
    shown = binned(
        "x",
        np.array([0.0, 1.0, 1.5, 2.0, np.nan]),
        (-np.inf, 1, 2, np.inf),
        lambda mask: {"n": Score(float(mask.sum()), 0, 0, int(mask.sum()))},
    )
    assert shown.labels == ("below 1", "1 to 2", "2 and above")
    assert [score.n for score in shown.scores["n"]] == [1, 2, 1] and shown.total["n"].n == 5
    assert shown.centre.tolist() == [0.0, 1.25, 2.0]
    assert list(shown.only("n").scores) == ["n"]


def test_rate_and_mean_of_no_and_of_one_value():
    none = rate(np.zeros(3, bool), np.zeros(3, bool))
    assert none.n == 0 and np.isnan(none.value)
    assert rate(np.array([True, True]), np.array([True, False])).value == 1.0
    assert mean(np.zeros(0)).n == 0
    assert mean(np.array([3.0])).value == 3 and np.isnan(mean(np.array([3.0])).error)
    assert mean(np.array([1.0, 3.0])).error == pytest.approx(1.0)


def test_columns_have_the_kind_of_the_schema_and_defaults_where_masked():
    table = Table({"region": MaskedColumn([3, 4], mask=[False, True]), "known": [1.0, np.nan], "alpha": [1, 2]})
    found = take(table, "truth", "region", "known", "alpha")
    assert found["region"].tolist() == [3, -1] and found["region"].dtype.kind == "i"
    assert found["known"].tolist() == [True, False] and found["known"].dtype == bool
    assert found["alpha"].dtype == np.float64
