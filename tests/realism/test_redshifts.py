"""Redshift percentiles, shares and their verdicts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmae.realism import published
from mmae.realism.redshifts import redshift_section


def rows(section, name: str) -> dict[str, tuple]:
    return {row[0]: row for row in next(t for t in section.tables if t.name == name).rows}


def test_percentiles_are_numpys_and_judged(objects):
    found = rows(redshift_section(objects, seed=0), "percentiles")
    for percent, target in published.REDSHIFT_PERCENTILES.items():
        row = found[f"{percent}%"]
        value = np.percentile(objects.redshift_N, percent)
        assert row[1] == pytest.approx(value) and row[3] == target
        assert row[-1].ok is (None if percent in (0, 100) else bool(abs(value / target - 1) <= 0.15))


def test_a_survey_with_the_published_redshifts_is_met(objects):
    percents = np.linspace(0, 100, 4000)
    table = published.REDSHIFT_PERCENTILES
    redshift_N = np.expm1(np.interp(percents, list(table), np.log1p(list(table.values()))))
    many = dataclasses.replace(
        objects, redshift_N=redshift_N, truth=None, morphtype_N=np.where(percents < 16, "PSF", "EXP")
    )
    section = redshift_section(many, seed=0)
    assert all(row[-1].ok is not False for table in section.tables for row in table.rows)


def test_shares(objects):
    found = rows(redshift_section(objects, seed=0), "shares")
    assert found["z < 0.4"][1] == pytest.approx(100 * (objects.redshift_N < 0.4).mean())
    assert found["PSF or z <= 0"][1] == pytest.approx(100 * (objects.morphtype_N == "PSF").mean())
    assert found["type EXP"][1] + found["type PSF"][1] == pytest.approx(100)


def test_unknown_redshifts_do_not_count(objects):
    some = np.where(np.arange(len(objects)) % 2, objects.redshift_N, np.nan)
    found = redshift_section(dataclasses.replace(objects, redshift_N=some), seed=0)
    assert rows(found, "percentiles")["50%"][1] == pytest.approx(np.nanmedian(some))
    none = dataclasses.replace(objects, redshift_N=np.full(len(objects), np.nan))
    assert "no redshifts" in redshift_section(none, seed=0).left_out
