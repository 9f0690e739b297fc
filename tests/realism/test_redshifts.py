"""Redshift percentiles, fractions and verdicts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmae.realism import published
from mmae.realism.redshifts import redshift_section
from tests.realism.surveys import table_rows


def percentiles(section) -> dict[str, dict]:
    return {row["percentile"]: row for row in table_rows(section, "percentiles")}


def test_percentiles_and_their_verdicts(objects):
    found = percentiles(redshift_section(objects, seed=0))
    for percent, target in published.REDSHIFT_PERCENTILES.items():
        row = found[f"{percent}%"]
        value = np.percentile(objects.redshift_N, percent)
        assert row["simulated"].value == pytest.approx(value) and row["published"] == target
        assert row["verdict"].ok is (None if percent in (0, 100) else bool(abs(value / target - 1) <= 0.15))


def test_survey_with_the_published_redshifts_passes(objects):
    percents = np.linspace(0, 100, 4000)
    table = published.REDSHIFT_PERCENTILES
    redshift_N = np.expm1(np.interp(percents, list(table), np.log1p(list(table.values()))))
    many = dataclasses.replace(
        objects, redshift_N=redshift_N, truth=None, morphtype_N=np.where(percents < 16, "PSF", "EXP")
    )
    section = redshift_section(many, seed=0)
    verdicts = [row["verdict"].ok for name in ("percentiles", "shares") for row in table_rows(section, name)]
    assert True in verdicts and False not in verdicts


def test_shares(objects):
    rows = table_rows(redshift_section(objects, seed=0), "shares")
    found = {row["selection"]: row["simulated_percent"] for row in rows}
    low_z = (objects.redshift_N < 0.4).mean()
    assert found["z < 0.4"].value == pytest.approx(100 * low_z)
    assert found["z < 0.4"].error == pytest.approx(100 * np.sqrt(low_z * (1 - low_z) / len(objects)))
    assert found["PSF or z <= 0"].value == pytest.approx(100 * (objects.morphtype_N == "PSF").mean())
    assert found["type EXP"].value + found["type PSF"].value == pytest.approx(100)


def test_unknown_redshifts_are_ignored(objects):
    some = np.where(np.arange(len(objects)) % 2, objects.redshift_N, np.nan)
    found = percentiles(redshift_section(dataclasses.replace(objects, redshift_N=some), seed=0))
    assert found["50%"]["simulated"].value == pytest.approx(np.nanmedian(some))
    none = dataclasses.replace(objects, redshift_N=np.full(len(objects), np.nan))
    section = redshift_section(none, seed=0)
    assert section.left_out and not section.tables
