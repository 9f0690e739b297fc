"""Tests on galaxies of the training are refused, others are accepted."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from mmae.core.errors import InputError
from mmae.survey.columns import split_hash
from mmae.survey.leaks import TRAINING_ROWS, find_leaks, require_no_leak, write_training_rows
from mmae.survey.schema import Galaxy
from mmae.survey.store import Survey
from mmae.training import run
from mmae.training.run import pretrain
from mmae.training.run_folder import SPLIT_HASH
from tests.ingest.small import ARCSEC, field, write_survey
from tests.realism.surveys import make_survey


def divided(galaxies: list[Galaxy]) -> dict[str, list[Galaxy]]:
    return {"train": galaxies[:70], "val": galaxies[70:85], "test": galaxies[85:]}


def with_targets(galaxies: list[Galaxy]) -> list[Galaxy]:
    return [replace(g, targetid=39_000_000_000 + i) for i, g in enumerate(galaxies)]


GALAXIES = with_targets(field(100, seed=2))


@pytest.fixture
def survey(tmp_path) -> Survey:
    return write_survey(tmp_path / "s", divided(GALAXIES))


@pytest.fixture
def checkpoint(tmp_path, survey) -> Path:
    (tmp_path / "best").mkdir()
    write_training_rows(survey, tmp_path / "best")
    return tmp_path / "best"


def refusal(checkpoint: Path, survey: Survey, split: str = "test") -> str:
    with pytest.raises(InputError) as caught:
        require_no_leak(checkpoint, survey, split)
    return str(caught.value)


def test_the_test_split_of_the_training_survey_is_accepted(checkpoint, survey):
    found = require_no_leak(checkpoint, survey, "test")
    assert (found.tested, found.trained) == (15, 85)
    assert " 15 " in found.text and " 85 " in found.text


def test_train_and_val_are_refused(checkpoint, survey):
    """The validation split too, because it selected the checkpoint."""
    for split, n in (("train", 70), ("val", 15)):
        assert re.search(rf" {n} of the {n} .* {split} split", refusal(checkpoint, survey, split))


def test_the_error_for_a_leaked_split_names_the_galaxies(tmp_path, checkpoint, survey):
    """Training rows under other names and targets, half an arcsecond away, among clean test rows."""
    leaked = [
        replace(g, object_id=f"copy-{i}", targetid=None, ra=g.ra + 0.5 * ARCSEC) for i, g in enumerate(GALAXIES[60:72])
    ]
    other = write_survey(tmp_path / "other", {"train": GALAXIES[85:90], "test": [*GALAXIES[90:], *leaked]})
    message = refusal(checkpoint, other)
    assert message.startswith(f"{other.path}: 12 of the 22 ") and str(checkpoint) in message
    assert "0 by targetid, 12 within 1 arcsec, 0 by object_id" in message
    assert "copy-0 " in message and "g00060" in message and "copy-4" in message and "copy-5" not in message
    assert str(survey.path) in message and "--split" in message
    clean = write_survey(tmp_path / "clean", {"test": GALAXIES[90:]})
    assert require_no_leak(checkpoint, clean, "test").tested == 10


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        # The same target at another position, such as a star with proper motion.
        ({"object_id": "x", "dec": GALAXIES[3].dec + 8 * ARCSEC}, "1 by targetid, 0 within 1 arcsec, 0 by object_id"),
        ({"object_id": "x", "ra": None, "dec": None}, "1 by targetid, 0 within 1 arcsec, 0 by object_id"),
        ({"object_id": "x", "targetid": 7}, "0 by targetid, 1 within 1 arcsec, 0 by object_id"),
        ({"targetid": None, "ra": None, "dec": None}, "0 by targetid, 0 within 1 arcsec, 1 by object_id"),
        ({}, "1 by targetid, 1 within 1 arcsec, 0 by object_id"),
    ],
)
def test_the_same_galaxy_by_targetid_position_or_object_id(tmp_path, checkpoint, change, kinds):
    other = write_survey(tmp_path / "other", {"test": [GALAXIES[99], replace(GALAXIES[3], **change)]})
    message = refusal(checkpoint, other)
    assert " 1 of the 2 " in message and f"({kinds})" in message
    assert "train split" in message and "g00003" in message


@pytest.mark.parametrize(
    "change",
    [
        {"ra": 10.0},  # a targetid and an object_id that another survey also uses
        {"object_id": "x", "dec": GALAXIES[3].dec + 12 * ARCSEC},
        {"targetid": None, "ra": 10.0},  # an object_id that another survey also uses
        {"object_id": "x", "targetid": None, "ra": None, "dec": None},  # nothing to compare
        {"object_id": "x", "targetid": None, "dec": GALAXIES[3].dec + 1.01 * ARCSEC},
    ],
)
def test_other_galaxies_are_accepted(tmp_path, checkpoint, change):
    other = write_survey(tmp_path / "other", {"test": [replace(GALAXIES[3], **change)]})
    assert require_no_leak(checkpoint, other, "test").tested == 1


def test_rows_without_targetid_are_not_one_target(tmp_path):
    """Negative TARGETIDs and 0 mean none."""
    some = [replace(g, targetid=(-1, 0, None)[i % 3]) for i, g in enumerate(GALAXIES)]
    survey = write_survey(tmp_path / "s", divided(some))
    write_training_rows(survey, tmp_path)
    assert require_no_leak(tmp_path, survey, "test").trained == 85


def test_object_ids_are_compared_without_positions(tmp_path):
    some = [replace(g, targetid=None, ra=None, dec=None) for g in GALAXIES]
    survey = write_survey(tmp_path / "s", divided(some))
    write_training_rows(survey, tmp_path)
    assert require_no_leak(tmp_path, survey, "test").trained == 85
    placed = write_survey(tmp_path / "other", {"test": [replace(g, targetid=None) for g in GALAXIES[80:]]})
    assert "5 of the 20" in refusal(tmp_path, placed)


def test_leaks_are_those_of_a_brute_force_search():
    rng = np.random.default_rng(8)

    def table(n: int) -> pa.Table:
        place = rng.integers(0, 60, n)
        lost = rng.random(n) < 0.3
        return pa.table(
            {
                "object_id": [f"g{i}" for i in rng.integers(0, 80, n)],
                "targetid": pa.array([int(t) if t > 0 else None for t in rng.integers(-60, 60, n)], pa.int64()),
                "ra": pa.array((359.999 + place * 0.7 * ARCSEC) % 360, mask=lost),
                "dec": pa.array(np.full(n, 60.0), mask=lost),
                "split": ["train"] * n,
            }
        )

    trained, tested = table(60), table(50)
    row_T = find_leaks(trained, tested).row_T
    train_rows = trained.to_pylist()
    for row, found in zip(tested.to_pylist(), row_T, strict=True):
        same = []
        for i, other in enumerate(train_rows):
            places = [SkyCoord(r["ra"] * u.deg, r["dec"] * u.deg) for r in (row, other) if r["ra"] is not None]
            target = row["targetid"] is not None and row["targetid"] == other["targetid"]
            if len(places) == 2:
                alike = places[0].separation(places[1]).arcsec <= (10 if target else 1)
            else:
                alike = target or row["object_id"] == other["object_id"]
            if alike:
                same.append(i)
        assert found in same if same else found == -1
    assert 10 < (row_T >= 0).sum() < 50


def test_a_run_without_training_rows_is_refused(tmp_path, survey):
    message = refusal(tmp_path, survey)
    assert TRAINING_ROWS in message and "--allow-unknown-training" in message
    found = require_no_leak(tmp_path, survey, "test", allow_unknown=True)
    assert found.trained is None and TRAINING_ROWS in found.text


def test_allow_unknown_does_not_allow_a_known_leak(checkpoint, survey):
    with pytest.raises(InputError, match=" 70 of the 70 "):
        require_no_leak(checkpoint, survey, "train", allow_unknown=True)


def test_damaged_file_and_empty_split_are_errors(checkpoint, survey):
    path = checkpoint / TRAINING_ROWS
    pq.write_table(pq.read_table(path).drop_columns(["dec"]), path)
    assert f"{path}: the columns dec" in refusal(checkpoint, survey)
    path.write_bytes(path.read_bytes()[:-50])
    assert f"{path}: " in refusal(checkpoint, survey)
    write_training_rows(survey, checkpoint)
    no_test = write_survey(survey.path.parent / "none", {"train": GALAXIES[:3]})
    assert "test split" in refusal(checkpoint, no_test)


def test_training_rows_are_those_of_train_and_val(checkpoint, survey):
    table = pq.read_table(checkpoint / TRAINING_ROWS)
    assert table.column_names == ["object_id", "targetid", "ra", "dec", "split"]
    assert table["object_id"].to_pylist() == [g.object_id for g in GALAXIES[:85]]
    assert table["split"].to_pylist() == ["train"] * 70 + ["val"] * 15
    assert table.schema.metadata == {
        b"mmae.survey": str(survey.path).encode(),
        b"mmae.survey_hash": survey.content_hash.encode(),
        b"mmae.split_hash": split_hash(survey).encode(),
    }


def test_split_hash_of_a_survey_without_recorded_hash(tmp_path, survey):
    older = write_survey(tmp_path / "older", divided(GALAXIES), recorded=False)
    assert older.recorded_split_hash == "" and split_hash(older) == split_hash(survey)


def test_a_run_is_resumed_only_with_the_same_splits(tmp_path, quick_run, monkeypatch):
    """The check is made before Ray starts."""
    monkeypatch.setattr(run, "start_ray", lambda: None)
    monkeypatch.setattr(run, "_require_workers", lambda config: None, raising=False)
    survey = make_survey(tmp_path / "s", 60)
    config = replace(quick_run, home=str(tmp_path), survey=str(survey.path), name="quick")
    folder = tmp_path / "runs" / "quick"
    (folder / "checkpoint_1").mkdir(parents=True)
    (folder / SPLIT_HASH).write_text("0123\n")
    with pytest.raises(InputError, match="run quick .*split_hash"):
        pretrain(config)

    class Reached(Exception):
        pass

    def reached(*_, **__):
        raise Reached

    monkeypatch.setattr(run, "open_tracker", reached)
    (folder / SPLIT_HASH).write_text(split_hash(survey) + "\n")
    with pytest.raises(Reached):
        pretrain(config)
