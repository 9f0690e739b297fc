"""The section says the scores, the paper's rows beside a file, and why something is missing."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmae.evaluation.photoz.predictions_file import read_predictions
from mmae.evaluation.photoz.section import HEADINGS, file_section, point_section
from mmae.evaluation.photoz.strata import LEAST_GALAXIES
from mmae.metrics.bootstrap import Score
from mmae.metrics.photoz import RATES, point_scores
from mmae.metrics.redshift import OUTLIER_LIMIT
from mmae.report.contents import Section, Verdict, numbers
from mmae.report.score_table import PAPER_NOTE, PAPER_ROW, with_error
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


def table(section: Section, name: str) -> list[dict]:
    (found,) = [t for t in section.tables if t.name == name]
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def column(section: Section, name: str, heading: str) -> dict[str, float]:
    return {row["score"]: row[heading] for row in table(section, name)}


def test_the_main_tables_hold_every_score_of_every_mode(section, sky):
    catalogue, predictions, _ = sky
    z = catalogue.redshift_N
    assert [t.name for t in section.tables][:2] == ["low_z", "all_z"]
    for name, limit in (("low_z", 0.4), ("all_z", 9)):
        for mode, heading in zip(MODES, ("image only", "spectrum only", "both"), strict=True):
            of_N = (z < limit) & np.isfinite(predictions[mode])
            shown = column(section, name, heading)
            assert shown.pop("galaxies") == of_N.sum()
            scores = point_scores(z[of_N], predictions[mode][of_N], seed=3, resamples=20)
            assert len(shown) == 2 * len(scores) - 1  # an error for each score, but not for the count
            for metric, value in by_hand(z[of_N], predictions[mode][of_N]).items():
                scale, unit = (100, " [%]") if metric in RATES else (1, "")
                assert shown[HEADINGS[metric] + unit] == pytest.approx(scale * value, rel=1e-9, abs=1e-9)
                if metric != "not_finite":
                    assert shown[f"{HEADINGS[metric]} error{unit}"] == pytest.approx(scale * scores[metric].error)


def test_the_baseline_stands_beside_the_modes(section, sky):
    z = sky[0].redshift_N
    shown = column(section, "all_z", "training median")
    dz = (0.4 - z[10:]) / (1 + z[10:])
    assert shown["galaxies"] == 290
    assert shown["bias"] == pytest.approx(np.median(dz))
    assert shown["|dz|>0.15 [%]"] == pytest.approx(100 * np.mean(np.abs(dz) > OUTLIER_LIMIT))


def test_main_scores_reach_mlflow_under_their_own_names(section):
    found = numbers([section])
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
        assert f"redshift/all_z/{name}/image_only" in found
        error = name.replace("_pct", "_error_pct") if "_pct" in name else f"{name}_error"
        assert (f"redshift/low_z/{error}/both" in found) == (name not in ("galaxies", "not_finite"))


def test_every_family_has_a_table_for_every_mode(section, sky):
    catalogue, predictions, _ = sky
    names = {t.name for t in section.tables}
    assert names == {"low_z", "all_z"} | {
        f"{family}_{mode}" for family in ("redshift", "magnitude", "kind", "morphology", "snr") for mode in MODES
    }
    rows = {row["spectroscopic redshift"]: row for row in table(section, "redshift_image")}
    of_N = (catalogue.redshift_N >= 1.1) & (catalogue.redshift_N < 1.6)
    scores = point_scores(catalogue.redshift_N[of_N], predictions["image"][of_N], seed=3, resamples=20)
    row = rows["1.1 to 1.6"]
    assert row["galaxies"] == of_N.sum() >= LEAST_GALAXIES
    assert row["sigma_NMAD"] == with_error(scores["sigma_nmad"])
    assert row["|dz|>3 sigma"] == with_error(scores["outlier_rate_3sigma"], percent=True)
    assert row["HSC loss"] == with_error(scores["hsc_loss"]) and set(HEADINGS.values()) - {"not finite"} < set(row)


def test_strata_that_are_too_small_are_shown_and_marked(section, sky):
    rows = {row["kind of galaxy"]: row for row in table(section, "kind_image")}
    quasars = int(((sky[0].kind_N == "QSO") & np.isfinite(sky[0].redshift_N)).sum())
    assert 0 < quasars < LEAST_GALAXIES
    assert rows["QSO"]["galaxies"] == quasars and rows["QSO"]["sigma_NMAD"] == Verdict("too few")
    assert rows["QSO"]["rms"] is None and isinstance(rows["BGS"]["rms"], str)
    (found,) = [t for t in section.tables if t.name == "kind_image"]
    assert str(LEAST_GALAXIES) in found.note
    no_spectrum = {row["spectrum S/N per sample"]: row for row in table(section, "snr_spectrum")}["no spectrum"]
    assert no_spectrum["galaxies"] == 0 and no_spectrum["sigma_NMAD"] == Verdict("too few")


def test_a_figure_of_all_modes_one_of_trends_and_one_a_mode(section):
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


def test_what_is_missing_is_said(sky):
    catalogue, predictions, snr = sky
    nothing = np.full(300, np.nan)
    partly = point_section(catalogue, predictions | {"both": nothing}, snr, z_train=None, seed=0, resamples=5)
    assert partly.left_out.startswith("both: no galaxy") and "spectroscopic redshifts" in partly.left_out
    assert partly.tables and "training median" not in partly.tables[0].columns and partly.tables[0].note == ""
    empty = point_section(catalogue, {"image": nothing}, snr, z_train=None, seed=0, resamples=5)
    assert not empty.tables and not empty.drawings and empty.left_out
    assert point_section(catalogue, {}, None, z_train=None, seed=0, resamples=5).left_out


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_a_predictions_file_scores_as_the_formulas_do(tmp_path, format):
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
            assert shown[HEADINGS[metric] + unit] == pytest.approx(scale * value, abs=1e-9, rel=1e-9), metric


def test_a_file_gives_the_papers_rows_first(tmp_path):
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
        with_error(low["sigma_nmad"]),
        with_error(expected["sigma_nmad"]),
        with_error(expected["outlier_rate"], percent=True),
    )
    assert rows["z_both"][0] == 150
    assert rows[PAPER_ROW] == (None, "0.0163", "0.0210", "4.63%")
    assert PAPER_NOTE in paper.note and "Another data set" in paper.note
    assert "2 rows without a finite true redshift" in paper.note and "z_both: 50 rows have no value" in paper.note
    assert "z_image:" not in paper.note and "column redshift" in paper.note
    assert "ours.parquet" in section.title and section.name == "redshift"
    assert "redshift_z_both" in {t.name for t in section.tables}
    assert [d.name for d in section.drawings][2:] == ["redshift_z_image", "redshift_z_both"]


def test_an_error_is_half_of_the_interval():
    assert with_error(Score(1.0, 0.75, 1.5, 9)) == "1.0000±0.3750"
