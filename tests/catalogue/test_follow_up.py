"""Targets: how they are chosen, and the list."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table
from rich.console import Console

from mmae.catalogue.follow_up import NOISE, _greedy, choose_targets
from mmae.catalogue.follow_up_config import FollowUpConfig
from mmae.catalogue.follow_up_job import follow_up
from mmae.core.errors import InputError
from tests.catalogue.certain import set_pz
from tests.catalogue.small import galaxy, options, predict_here, write_small_bundle, write_survey

N, D = 300, 8


def two_groups(rng: np.random.Generator) -> np.ndarray:
    """Embeddings of two distant groups, the first N/2 and the others."""
    return rng.normal(0, 1, (N, D)) + np.repeat([0.0, 20.0], N // 2)[:, None]


def masks(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known_N = np.isin(np.arange(N), known)
    return known_N, ~known_N


def test_galaxies_unlike_those_with_a_redshift_are_first():
    embedding_ND = two_groups(np.random.default_rng(0))
    known_N, candidate_N = masks(np.arange(100))
    choice = choose_targets(embedding_ND, np.full(N, 0.05), known_N, candidate_N, 10)
    assert (choice.order_T[:5] >= N // 2).all() and (choice.known_near_T[:5] == 0).all()
    assert len(set(choice.order_T)) == 10 and candidate_N[choice.order_T].all()


def test_of_two_groups_that_with_the_broad_pz_is_first():
    embedding_ND = two_groups(np.random.default_rng(4))
    known_N, candidate_N = masks(np.array([0, N - 1]))
    width_N = np.repeat([0.01, 0.3], N // 2)
    assert (choose_targets(embedding_ND, width_N, known_N, candidate_N, 5).order_T >= N // 2).all()


def test_of_galaxies_that_are_alike_only_one_is_needed():
    embedding_ND = two_groups(np.random.default_rng(1))
    known_N, candidate_N = masks(np.array([], int))
    width_N = np.full(N, 0.05)
    first = choose_targets(embedding_ND, width_N, known_N, candidate_N, 1).order_T[0]
    embedding_ND[:20] = embedding_ND[first]  # copies of the first target
    order_T = choose_targets(embedding_ND, width_N, known_N, candidate_N, 5).order_T
    assert len({*range(20), first} & {*order_T}) <= 1


def test_each_target_has_the_largest_gain_of_all_candidates():
    rng = np.random.default_rng(3)
    feature_CM = rng.normal(size=(200, 6)) * 0.02
    wanted_MM = feature_CM.T @ feature_CM
    order_T, gain_T = _greedy(feature_CM, np.eye(6), wanted_MM, 15, lambda: None)
    known: list[int] = []

    def summed_variance(at: list[int]) -> float:
        inverse_MM = np.eye(6) + feature_CM[at].T @ feature_CM[at] / NOISE**2
        return float(np.trace(np.linalg.solve(inverse_MM, wanted_MM)))

    for chosen, gain in zip(order_T, gain_T, strict=True):
        after = {i: summed_variance([*known, i]) for i in range(200) if i not in known}
        assert summed_variance(known) - after[chosen] == pytest.approx(gain, rel=1e-6)
        assert after[chosen] == pytest.approx(min(after.values()), rel=1e-2)
        known.append(int(chosen))


def test_gains_decrease_and_the_choice_is_the_same_each_time():
    rng = np.random.default_rng(2)
    embedding_ND, width_N = rng.normal(size=(N, D)), rng.uniform(0.01, 0.2, N)
    known_N, candidate_N = masks(np.arange(20))
    one, two = (choose_targets(embedding_ND, width_N, known_N, candidate_N, 60) for _ in range(2))
    assert np.array_equal(one.order_T, two.order_T) and one.gain_T[0] == 1
    assert (one.gain_T > 0).all() and one.gain_T[-1] < one.gain_T[0]
    longer = choose_targets(embedding_ND, width_N, known_N, candidate_N, 61)
    assert np.array_equal(longer.order_T[:60], one.order_T)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A catalogue of images; every second galaxy has a redshift in the survey, and two have no p(z)."""
    folder = tmp_path_factory.mktemp("follow_up")
    galaxies = [galaxy(i) for i in range(60)]
    survey = write_survey(folder / "s", [g if i % 2 else replace(g, redshift=None) for i, g in enumerate(galaxies)])
    bundle = write_small_bundle(folder / "b")
    catalogues = {
        use: predict_here(options(bundle, survey, folder / use, use=(use,), anomaly=False)).path
        for use in ("image", "spectrum")
    }
    z_of = {g.object_id: g.redshift for g in galaxies if g.object_id not in ("g00002", "g00003")}
    for path in catalogues.values():
        set_pz(path, z_of, sigma=0.05)
    return catalogues, survey


def run(case, out, console=None, **changes):
    config = FollowUpConfig(case[0]["image"], str(case[1]), 12, out)
    return follow_up(replace(config, **changes), console or Console(file=io.StringIO(), width=200))


def test_targets_have_no_redshift_and_are_in_all_files(case, tmp_path):
    console = Console(file=io.StringIO(), width=200)
    table = run(case, tmp_path, console)
    ids = table["object_id"].to_pylist()
    assert len(set(ids)) == 12 and all(int(name[1:]) % 2 == 0 for name in ids) and "g00002" not in ids
    for name in ("targets.fits", "targets.vot"):
        written = Table.read(tmp_path / name)
        assert list(written["object_id"]) == ids and all("half width" in reason for reason in written["reason"])
        assert written["ra"].unit == "deg"
    assert "1 galaxies without a spectrum have no p(z)" in console.file.getvalue()
    page = json.loads((tmp_path / "report" / "report.json").read_text())
    counts = dict(page["sections"][0]["tables"][0]["rows"])
    assert counts["without, that have no p(z)"] == 1 and counts["targets"] == 12
    assert (tmp_path / "report" / "first.png").exists()


def test_without_a_survey_the_flags_tell_which_have_a_spectrum(case, tmp_path):
    with pytest.raises(InputError, match="not known which galaxies have one"):
        run(case, tmp_path / "a", survey="")
    with pytest.raises(InputError, match="--n 12: .* has 0 galaxies without a spectrum"):
        run(case, tmp_path / "b", survey="", catalogue=case[0]["spectrum"])


def test_more_targets_than_candidates_are_refused(case, tmp_path):
    with pytest.raises(InputError, match="--n 40: .* galaxies without a spectrum and with p"):
        run(case, tmp_path, n=40)
    with pytest.raises(ValueError, match="n is 0"):
        FollowUpConfig(case[0]["image"], n=0)
