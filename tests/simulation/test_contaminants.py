"""Rows that are not galaxies: no label, a kind in the truth table, and what each of them looks like."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from mmae.simulation import contaminants
from mmae.simulation.config import SimulationConfig
from mmae.simulation.contaminants import IMAGE_DEFECTS, KINDS, SPECTRUM_DEFECTS, draw_kind, with_spectrum_defect
from mmae.simulation.source import read_chunk, simulate_galaxy
from mmae.simulation.truth import truth_schema
from mmae.survey.schema import SurveySpec, check_galaxy

SPEC = SurveySpec()
ALL = SimulationConfig(galaxies=60, contaminant_fraction=1.0, field_density=0.0)


@pytest.fixture(scope="module")
def rows() -> list:
    return [simulate_galaxy(row, ALL, SPEC) for row in range(60)]


def of_kind(rows: list, kind: str) -> list:
    found = [row for row in rows if row[1].row["kind"] == kind]
    assert found
    return found


def test_kinds_have_their_shares():
    rng = np.random.default_rng(0)
    counts = Counter(draw_kind(rng, 0.5, True) for _ in range(8000))
    assert counts[None] / 8000 == pytest.approx(0.5, abs=0.02)
    for kind, share in contaminants.SHARES.items():
        assert counts[kind] / 4000 == pytest.approx(share, abs=0.03)
    assert set(counts) - {None} <= set(KINDS)
    assert not set(SPECTRUM_DEFECTS) & {draw_kind(rng, 1.0, False) for _ in range(2000)}


def test_contaminants_have_no_label_and_pass_the_schema(rows):
    schema = truth_schema(SPEC.bands, kinds=True)
    table = pa.Table.from_pylist([t.row for _, t in rows], schema=schema)
    assert set(table["kind"].to_pylist()) <= set(KINDS) - {"galaxy", "quasar"}
    for galaxy, truth in rows:
        assert galaxy.redshift is None and truth.row["redshift_measured"] is None
        assert set(truth.row) == set(schema.names)
        assert (truth.row["redshift_true"] is None) == (truth.row["kind"] == "sky")
        assert check_galaxy(galaxy, SPEC, "row").rejections == []


def test_galaxies_next_to_contaminants_are_as_without_them():
    mixed = SimulationConfig(galaxies=12, contaminant_fraction=0.5, field_density=0.0)
    plain = SimulationConfig(galaxies=12, field_density=0.0)
    kinds = []
    for row in range(12):
        (a, truth), (b, _) = (simulate_galaxy(row, c, SPEC) for c in (mixed, plain))
        kinds.append(truth.row["kind"])
        if kinds[-1] in ("galaxy", "quasar"):
            assert np.array_equal(a.image_CHW, b.image_CHW) and np.array_equal(a.flux_L, b.flux_L)
            assert a.redshift == b.redshift
    assert 2 < sum(k in ("galaxy", "quasar") for k in kinds) < 10
    read = read_chunk({"start": 0, "stop": 12}, mixed, SPEC)
    assert [t["kind"] for t in read.truth] == kinds


def test_sky_is_noise(rows):
    for galaxy, truth in of_kind(rows, "sky"):
        assert not truth.image_CHW.any() and not truth.flux_L.any()
        blank_C = galaxy.image_CHW.std(axis=(1, 2))
        np.testing.assert_allclose(blank_C, SPEC.band_noise, rtol=0.1)
        pull_L = (galaxy.flux_L * np.sqrt(galaxy.ivar_L))[galaxy.ivar_L > 0]
        assert 0.95 < pull_L.std() < 2 and abs(np.median(pull_L)) < 0.5
        assert truth.row["r_mag"] is None and truth.row["target_class"] == "SKY"


def test_stars_are_point_sources_at_redshift_zero(rows):
    for galaxy, truth in of_kind(rows, "star"):
        assert abs(truth.row["redshift_true"]) < 0.003 and galaxy.morphtype == "PSF"
        assert 16 <= truth.row["r_mag"] <= 23.5 and truth.row["bulge_radius"] is None


def test_spectrum_defects():
    wavelength_L = SPEC.wavelength_L()
    ivar_L = np.ones(wavelength_L.size, np.float32)
    ivar_L[:5] = 0
    flux_L = ((wavelength_L / 6000) * (ivar_L > 0)).astype(np.float32)
    changed = {k: with_spectrum_defect(np.random.default_rng(3), k, flux_L, ivar_L) for k in SPECTRUM_DEFECTS}
    for flux, ivar in changed.values():
        assert flux.dtype == ivar.dtype == np.float32 and not flux[ivar == 0].any()
        assert not np.array_equal(flux, flux_L)
    good = changed["constant_spectrum"][0][ivar_L > 0]
    assert np.ptp(good) == 0
    shifted, shifted_ivar = changed["shifted_wavelengths"]
    both = (shifted_ivar > 0) & (ivar_L > 0)
    step = np.unique(np.round((shifted - flux_L)[both] / (0.8 / 6000)))
    assert step.size == 1 and 0.01 * 7781 < abs(step[0]) < 0.08 * 7781
    assert changed["swapped_arms"][0][100] > changed["swapped_arms"][0][-100]
    top = changed["saturated_spectrum"][0]
    assert (top == top.max()).mean() > 0.6
    same, _ = with_spectrum_defect(np.random.default_rng(3), "ghost", flux_L, ivar_L)
    assert same is flux_L


@pytest.mark.parametrize("kind", IMAGE_DEFECTS)
def test_image_defects_change_one_band_far_above_the_noise(kind):
    for seed in range(5):
        image_CHW = np.zeros(SPEC.image_shape, np.float32)
        changed = contaminants.with_image_defect(np.random.default_rng(seed), kind, image_CHW, SPEC)
        (band,) = np.flatnonzero(changed.any(axis=(1, 2)))
        assert changed[band].max() > 2 * SPEC.band_noise[band] and np.isfinite(changed).all()
        assert not image_CHW.any()
