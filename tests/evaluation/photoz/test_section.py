"""Section on point redshifts: scores, the paper's scores of a file, left-out parts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmae.evaluation.photoz.predictions_file import read_predictions
from mmae.evaluation.photoz.section import HEADINGS, file_section, point_section
from mmae.evaluation.photoz.strata import MIN_GALAXIES
from mmae.metrics.bootstrap import Score
from mmae.metrics.photoz import RATES, point_scores
from mmae.metrics.redshift import OUTLIER_LIMIT
from mmae.report.contents import Measured, Section, Verdict, numbers
from mmae.report.score_table import PAPER_NOTE, PAPER_ROW
from tests.evaluation.cells import n_numbers
from tests.evaluation.cells import rows_by_column as table
from tests.evaluation.photoz.catalogues import make_catalogue
from tests.metrics.formulas import by_hand

MODES = ("image", "spectrum", "both")


@pytest.fixture(scope="module")
def sky():
    rng = np.random.default_rng(12)
    n = 300
    z = rng.uniform(0, 1.5, n)
    z[:10] = np.nan
    mag_NC = rng.uniform(18, 20, (n, 3))
    kind = np.where(rng.random(n) < 0.05, "QSO", "BGS").astype(object)
    morph = np.where(kind == "QSO", "PSF", "REX").astype(object)
    snr = np.where(np.arange(n) < 250, rng.uniform(0.6, 7, n), np.nan)
    image, spectrum = z + 0.08 * rng.standard_t(2, n), z + 0.001 * rng.standard_normal(n)
    spectrum[250:] = np.nan
    predictions = {"image": image, "spectrum": spectrum, "both": np.where(np.isnan(spectrum), np.nan, z)}
    return make_catalogue(z, mag_NC=mag_NC, kind_N=kind, morphtype_N=morph), predictions, snr


@pytest.fixture(scope="module")
def section(sky) -> Section:
    catalogue, predictions, snr = sky
    return point_section(catalogue, predictions, snr, z_train=np.array([0.1, 0.7]), seed=3, resamples=20)


def column(section: Section, name: str, mode: str) -> dict[str, int | Measured]:
    return {row["score"]: row[mode] for row in table(section, name)}


def percent(score: Score) -> Measured:
    return Measured(100 * score.value, 100 * score.error)


def test_main_tables_contain_every_score_of_every_mode(section, sky):
    catalogue, predictions, _ = sky
    z = catalogue.redshift_N
    assert [t.name for t in section.tables][:2] == ["low_z", "all_z"]
    for name, limit in (("low_z", 0.4), ("all_z", 9)):
        for mode in MODES:
            of_N = (z < limit) & np.isfinite(predictions[mode])
            shown = column(section, name, mode)
            assert shown.pop("galaxies") == of_N.sum()
            scores = point_scores(z[of_N], predictions[mode][of_N], seed=3, resamples=20)
            assert len(shown) == len(scores)
            for metric, value in by_hand(z[of_N], predictions[mode][of_N]).items():
                scale, unit = (100, " [%]") if metric in RATES else (1, "")
                cell = shown[HEADINGS[metric] + unit]
                assert cell.value == pytest.approx(scale * value, rel=1e-9, abs=1e-9)
                assert cell.error == pytest.approx(scale * scores[metric].error, nan_ok=metric == "not_finite")


def test_baseline_is_a_column_of_the_main_tables(section, sky):
    z = sky[0].redshift_N
    shown = column(section, "all_z", "training_median")
    dz = (0.4 - z[10:]) / (1 + z[10:])
    assert shown["galaxies"] == 290
    assert shown["bias"].value == pytest.approx(np.median(dz))
    assert shown["|dz|>0.15 [%]"].value == pytest.approx(100 * np.mean(np.abs(dz) > OUTLIER_LIMIT))


def test_names_of_the_main_scores(section):
    found = numbers([section])
    assert len(found) == n_numbers(section)
    for name in (
        "sigma_nmad",
        "sigma_biweight",
        "bias",
        "bias_biweight",
        "dz_gt0.15_pct",
        "dz_gt3_sigma_pct",
        "catastrophic_pct",
        "rms",
        "hsc_loss",
        "not_finite",
        "galaxies",
    ):
        assert f"redshift/all_z/{name}/image" in found
        assert (f"redshift/low_z/{name}/both_error" in found) == (name not in ("galaxies", "not_finite"))


def test_every_family_has_one_table_per_mode(section, sky):
    catalogue, predictions, _ = sky
    names = {t.name for t in section.tables}
    assert names == {"low_z", "all_z"} | {
        f"{family}_{mode}" for family in ("redshift", "magnitude", "kind", "morphology", "snr") for mode in MODES
    }
    rows = {row["redshift"]: row for row in table(section, "redshift_image")}
    of_N = (catalogue.redshift_N >= 1.1) & (catalogue.redshift_N < 1.6)
    scores = point_scores(catalogue.redshift_N[of_N], predictions["image"][of_N], seed=3, resamples=20)
    row = rows["1.1 to 1.6"]
    assert row["n"] == of_N.sum() >= MIN_GALAXIES
    assert row["sigma_nmad"] == Measured(scores["sigma_nmad"].value, scores["sigma_nmad"].error)
    assert row["outlier_rate_3sigma_percent"] == percent(scores["outlier_rate_3sigma"])
    assert set(row) == {"redshift", "n"} | {
        f"{metric}_percent" if metric in RATES else metric for metric in HEADINGS if metric != "not_finite"
    }


def test_small_strata_are_listed_without_scores(section, sky):
    rows = {row["kind"]: row for row in table(section, "kind_image")}
    quasars = int(((sky[0].kind_N == "QSO") & np.isfinite(sky[0].redshift_N)).sum())
    assert 0 < quasars < MIN_GALAXIES
    assert rows["QSO"]["n"] == quasars and isinstance(rows["QSO"]["sigma_nmad"], Verdict)
    assert rows["QSO"]["rms"] is None and isinstance(rows["BGS"]["rms"], Measured)
    (found,) = [t for t in section.tables if t.name == "kind_image"]
    assert str(MIN_GALAXIES) in found.note
    no_spectrum = {row["snr"]: row for row in table(section, "snr_spectrum")}["no spectrum"]
    assert no_spectrum["n"] == 0 and isinstance(no_spectrum["sigma_nmad"], Verdict)


def test_figures_of_the_section_and_its_citations(section):
    assert [d.name for d in section.drawings] == [
        "redshift_modes",
        "redshift_trends",
        "redshift_image",
        "redshift_spectrum",
        "redshift_both",
    ]
    assert section.name == "redshift" and not section.left_out
    for source in ("Beers", "Tanaka et al. 2018", "LSST Science Book", "Jones et al. 2024", "Wilson"):
        assert source in section.text


def test_modes_without_predictions_are_left_out(sky):
    catalogue, predictions, snr = sky
    missing = np.full(300, np.nan)
    partly = point_section(catalogue, predictions | {"both": missing}, snr, z_train=None, seed=0, resamples=5)
    assert partly.left_out.startswith("both")
    assert [column.name for column in partly.tables[0].columns] == ["score", "image", "spectrum"]
    assert partly.tables[0].note == ""
    empty = point_section(catalogue, {"image": missing}, snr, z_train=None, seed=0, resamples=5)
    assert not empty.tables and not empty.drawings and empty.left_out
    assert point_section(catalogue, {}, None, z_train=None, seed=0, resamples=5).left_out


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_scores_of_a_predictions_file_agree_with_the_formulas(tmp_path, format):
    rng = np.random.default_rng(2)
    z = rng.uniform(0, 2, 250)
    p = z + 0.05 * (1 + z) * rng.standard_t(2, 250)
    path = tmp_path / f"p.{format}"
    if format == "csv":
        lines = [f"{a!r},{b!r}" for a, b in zip(z.tolist(), p.tolist(), strict=True)]
        path.write_text("\n".join(["y_test,y_pred", *lines, ",0.3"]) + "\n")
    else:
        pq.write_table(pa.table({"y_test": [*z, None], "y_pred": [*p, 0.3]}), path)
    section = file_section(read_predictions(path), seed=0, resamples=20)
    for name, of_N in (("all_z", z < 9), ("low_z", z < 0.4)):
        shown = column(section, name, "y_pred")
        for metric, value in by_hand(z[of_N], p[of_N]).items():
            scale, unit = (100, " [%]") if metric in RATES else (1, "")
            assert shown[HEADINGS[metric] + unit].value == pytest.approx(scale * value, abs=1e-9, rel=1e-9), metric


def test_first_table_of_a_file_has_the_paper_row(tmp_path):
    rng = np.random.default_rng(6)
    z = rng.uniform(0, 1, 200)
    p = z + 0.1 * rng.standard_normal(200)
    z_both = [None] * 50 + p[50:].tolist()
    path = tmp_path / "ours.parquet"
    pq.write_table(
        pa.table(
            {
                "redshift": [*z, None, None],
                "z_image": [*p, 0.0, 0.0],
                "z_both": [*z_both, 0.0, 0.0],
                "z_image_low": [0.0] * 202,
            }
        ),
        path,
    )
    section = file_section(read_predictions(path), seed=0, resamples=20)
    paper = section.tables[0]
    rows = {row[0]: row[1:] for row in paper.rows}
    assert list(rows) == ["z_image", "z_both", PAPER_ROW]
    expected = point_scores(z, p, seed=0, resamples=20)
    low = point_scores(z[z < 0.4], p[z < 0.4], seed=0, resamples=20)
    assert rows["z_image"] == (
        200,
        Measured(low["sigma_nmad"].value, low["sigma_nmad"].error),
        Measured(expected["sigma_nmad"].value, expected["sigma_nmad"].error),
        percent(expected["outlier_rate"]),
    )
    assert rows["z_both"][0] == 150
    assert rows[PAPER_ROW] == (None, 0.0163, 0.0210, pytest.approx(4.63))
    assert PAPER_NOTE in paper.note
    assert "2 rows" in paper.note and "z_both: 50 rows" in paper.note and "z_image:" not in paper.note
    assert "column redshift" in paper.note
    assert "ours.parquet" in section.title and section.name == "redshift"
    assert "redshift_z_both" in {t.name for t in section.tables}
    assert [d.name for d in section.drawings][2:] == ["redshift_z_image", "redshift_z_both"]
