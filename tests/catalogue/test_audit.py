"""Wrong catalogue redshifts: their probability, their rank, and the list."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from mmae.catalogue.audit import WINDOW, best_elsewhere, score_ranking, weigh, window_mass
from mmae.catalogue.audit_config import AuditConfig
from mmae.catalogue.audit_job import audit
from mmae.core.errors import InputError
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.survey.store import TruthShard, open_survey, write_manifest, write_shard
from tests.catalogue.certain import gaussian_pz, set_pz
from tests.catalogue.small import SPEC, galaxy, options, predict_here, write_small_bundle, write_survey

EDGES = np.linspace(0, np.log(7), 385)
RANGE = (0.0, 4.0)
N, WRONG = 60, "g00007"


def random_pz(n: int, seed: int = 0) -> tuple[RedshiftPDF, np.ndarray]:
    """p(z) of various widths, and for each a redshift drawn from it."""
    rng = np.random.default_rng(seed)
    p_NK = gaussian_pz(rng.uniform(0.1, 3, n), rng.uniform(0.003, 0.1, n), EDGES)
    pdf = RedshiftPDF(EDGES, p_NK)
    return pdf, pdf.quantile(rng.random(n))


def catalogue_redshifts(n: int, wrong: float, mistaken: float, seed: int) -> tuple[RedshiftPDF, np.ndarray, np.ndarray]:
    """Calibrated p(z) of catalogue redshifts, these redshifts, and which are wrong.

    Args:
        wrong: fraction of redshifts that are drawn from all.
        mistaken: fraction of right redshifts of which the model knows as little as of wrong ones.
    """
    pdf, label_N = random_pz(n, seed)
    rng = np.random.default_rng(seed + 1)
    draw_N = rng.random(n)
    label_N = np.where(draw_N < wrong + mistaken, np.expm1(rng.uniform(*np.log1p(RANGE), n)), label_N)
    anywhere_K = np.diff(np.clip(EDGES, *np.log1p(RANGE)))
    share_K = (wrong + mistaken) * anywhere_K / anywhere_K.sum()
    calibrated = RedshiftPDF(EDGES, (1 - wrong - mistaken) * pdf.probability_NK + share_K)
    inside_N = label_N <= RANGE[1]  # p(z) has a little more, where no catalogue redshift is
    return calibrated.chosen(inside_N), label_N[inside_N], (draw_N < wrong)[inside_N]


def compare(probability_N: np.ndarray, wrong_N: np.ndarray) -> None:
    """Check that as many are wrong as stated, within the errors."""
    assert abs(wrong_N.sum() - probability_N.sum()) < 4 * np.sqrt((probability_N * (1 - probability_N)).sum()) + 2


@settings(max_examples=20, deadline=None)
@given(wrong=st.floats(0.001, 0.3), mistaken=st.floats(0, 0.3), seed=st.integers(0, 1000))
def test_as_many_redshifts_are_wrong_as_the_probabilities_state(wrong, mistaken, seed):
    pdf, label_N, wrong_N = catalogue_redshifts(1000, wrong, mistaken, seed)
    probability_N = weigh(pdf, label_N, wrong, RANGE).wrong_N
    assert ((probability_N > 0) & (probability_N <= 1)).all()
    compare(probability_N, wrong_N)


@pytest.mark.parametrize("mistaken", [0.0, 0.02])
def test_probabilities_are_calibrated(mistaken):
    pdf, label_N, wrong_N = catalogue_redshifts(5000, 0.05, mistaken, seed=0)
    probability_N = weigh(pdf, label_N, 0.05, RANGE).wrong_N
    for low, high in ((0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1)):
        in_N = (probability_N >= low) & (probability_N <= high)
        compare(probability_N[in_N], wrong_N[in_N])


def test_a_larger_rate_makes_no_redshift_less_suspicious():
    pdf, label_N = random_pz(200)
    low_N, high_N = (weigh(pdf, label_N[::-1], rate, RANGE).wrong_N for rate in (0.001, 0.1))
    assert (high_N >= low_N).all() and (high_N > low_N).any()
    assert (high_N[np.argsort(low_N)] == np.sort(high_N)).all()


def test_mass_within_the_window_is_the_integral_of_the_density():
    pdf, label_N = random_pz(20)
    for i, z in enumerate(label_N):
        x = np.linspace(np.log1p(z) - np.log1p(WINDOW), np.log1p(z) + np.log1p(WINDOW), 4001)
        density = pdf.chosen(np.array([i] * len(x))).density(np.expm1(x)) * np.exp(x)  # per ln(1+z)
        assert window_mass(pdf, label_N)[i] == pytest.approx(np.trapezoid(density, x), rel=2e-3, abs=1e-6)


def test_the_redshift_elsewhere_is_the_peak_unless_that_is_the_catalogue_redshift():
    peaks = gaussian_pz(np.array([0.5]), 0.003, EDGES) * 0.7 + gaussian_pz(np.array([1.5]), 0.003, EDGES) * 0.3
    pdf = RedshiftPDF(EDGES, peaks)
    for label, expected in ((0.9, 0.5), (0.5, 1.5)):
        z_1, mass_1 = best_elsewhere(pdf, np.array([label]))
        assert z_1[0] == pytest.approx(expected, abs=0.01)
        assert mass_1[0] == pytest.approx(window_mass(pdf, z_1)[0], rel=1e-6)


def test_scores_of_a_ranking_count_as_by_hand():
    wrong_N = np.zeros(1000, bool)
    wrong_N[[3, 20, 700, 701]] = True
    order_N = np.concatenate([[3, 4, 20, 5], np.setdiff1d(np.arange(1000), [3, 4, 20, 5])])
    scores = score_ranking(order_N, wrong_N)
    assert (scores.galaxies, scores.wrong, scores.precision.value, scores.recall.value) == (1000, 4, 0.5, 0.5)
    assert scores.precision.low < 0.5 < scores.precision.high


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A catalogue with narrow p(z) at the redshifts of the survey, of which one was changed in the survey."""
    folder = tmp_path_factory.mktemp("audit")
    galaxies = [galaxy(i) for i in range(N)]
    z_of = {g.object_id: g.redshift for g in galaxies}
    moved = [replace(g, redshift=g.redshift + 0.8) if g.object_id == WRONG else g for g in galaxies]
    moved[11] = replace(moved[11], redshift=None)
    survey = write_survey(folder / "s", moved)
    catalogue = predict_here(options(write_small_bundle(folder / "b"), survey, folder / "c", anomaly=False)).path
    del z_of["g00012"]  # a galaxy without p(z)
    set_pz(catalogue, z_of)
    return catalogue, survey


def run(case, out, **changes) -> pa.Table:
    config = AuditConfig(case[0], str(case[1]), out, shown=1)
    return audit(replace(config, **changes), Console(file=io.StringIO(), width=200))


def test_the_injected_wrong_redshift_is_first_in_all_files(case, tmp_path):
    table = run(case, tmp_path, rows=20)
    assert table["object_id"][0].as_py() == WRONG and table["p_wrong"][0].as_py() > 0.1 > table["p_wrong"][1].as_py()
    assert table["z_other"][0].as_py() == pytest.approx(
        table["redshift"][0].as_py() - 0.8, abs=0.03
    )  # bins of 0.02 (1+z)
    assert not {"g00011", "g00012"} & set(table["object_id"].to_pylist())
    for written in (
        Table.read(tmp_path / "audit.fits"),
        Table.read(tmp_path / "audit.vot"),
        Table.from_pandas(pq.read_table(tmp_path / "audit.parquet").to_pandas()),
    ):
        assert len(written) == 20 and written["object_id"][0] == WRONG
        assert list(written["rank"]) == list(range(1, 21)) and written["redshift"][0] > 0.8
    counts = {row[0]: row[1] for row in page(tmp_path)["sections"][0]["tables"][0]["rows"]}
    assert counts["without p(z)"] == 1 and counts["without a redshift"] == 1


def page(folder) -> dict:
    return json.loads((folder / "report" / "report.json").read_text())


def test_the_page_of_a_simulated_survey_has_scores(case, tmp_path):
    survey = open_survey(case[1])
    truth = pa.table(
        {"object_id": [f"g{i:05d}" for i in range(N)], "catastrophic": [f"g{i:05d}" == WRONG for i in range(N)]}
    )
    path = survey.path / "truth" / "000000.parquet"
    write_manifest(replace(survey, truth_shards=(TruthShard("truth/000000.parquet", N, write_shard(truth, path)),)))
    try:
        run(case, tmp_path)
        numbers = page(tmp_path)["numbers"]
        assert numbers["scores/scores/all_p_wrong/precision"] == 1 and numbers["scores/scores/all_p_wrong/recall"] == 1
        assert "In truth it is wrong." in (tmp_path / "report" / "report.html").read_text()
    finally:
        write_manifest(survey)


def test_the_list_is_the_same_each_time(case, tmp_path):
    first, second = run(case, tmp_path / "a"), run(case, tmp_path / "b")
    assert first.equals(second)
    assert (tmp_path / "a/audit.parquet").read_bytes() == (tmp_path / "b/audit.parquet").read_bytes()


def test_input_that_cannot_be_compared_is_refused(case, tmp_path):
    other = write_survey(tmp_path / "other", [replace(galaxy(i), object_id=f"x{i}") for i in range(3)])
    with pytest.raises(InputError, match="none of its redshifts is of a galaxy of"):
        run(case, tmp_path / "o", survey=str(other))
    blind = write_survey(tmp_path / "blind", [galaxy(i, redshift=None) for i in range(3)], SPEC)
    with pytest.raises(InputError, match="no galaxy has a redshift"):
        run(case, tmp_path / "o", survey=str(blind))
    with pytest.raises(ValueError, match="wrong_rate is 1.5"):
        AuditConfig(case[0], "s", wrong_rate=1.5)
