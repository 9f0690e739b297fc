"""From a survey to a catalogue, in this process: rows, resumption, bad rows."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from mmae.bundle.predictions import WARNINGS, Flag
from mmae.catalogue import job as job_module
from mmae.catalogue import state
from mmae.catalogue.model import load_any
from mmae.catalogue.read import read_catalogue, read_embeddings, read_format, read_pixels, read_pz
from mmae.catalogue.rows import KEY, REDSHIFTS
from mmae.catalogue.state import PIECES
from mmae.core.errors import InputError
from mmae.survey.leaks import TRAINING_ROWS
from tests.catalogue.small import (
    SHARD,
    SPEC,
    Killed,
    content,
    galaxy,
    killing,
    options,
    pieces_in_turn,
    predict_here,
    write_small_bundle,
    write_survey,
)

N = 130
N_PIECES = -(-N // SHARD)
GALAXIES = [galaxy(i) for i in range(N)]


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> Path:
    return write_survey(tmp_path_factory.mktemp("survey") / "s", GALAXIES)


@pytest.fixture(scope="module")
def whole(bundle, survey, tmp_path_factory) -> Path:
    """The catalogue of an uninterrupted job."""
    return predict_here(options(bundle, survey, tmp_path_factory.mktemp("whole") / "c"), page=True).path


def killed_after(n: int):
    """A runner of pieces that ends the job after n of them."""

    def run(jobs, make):
        for i, result in enumerate(pieces_in_turn(jobs, make)):
            yield result
            if i == n - 1:
                raise Killed

    return run


def recorded(done: list[int]):
    def run(jobs, make):
        for result in pieces_in_turn(jobs, make):
            done.append(result["number"])
            yield result

    return run


def test_every_galaxy_has_one_row_with_the_predictions_of_the_bundle(whole, bundle):
    rows = read_catalogue(whole)
    expected = [g.object_id for g in GALAXIES if g.image_CHW is not None or g.flux_L is not None]
    assert sorted(rows["object_id"].to_pylist()) == expected
    assert (np.diff(rows["_healpix_29"].to_numpy()) >= 0).all()
    by_id = {g.object_id: g for g in GALAXIES}
    galaxies = [by_id[name] for name in rows["object_id"].to_pylist()]
    assert rows["ra"].to_pylist() == [g.ra for g in galaxies] and rows["dec"].to_pylist() == [g.dec for g in galaxies]

    model = load_any(bundle)
    nothing = {"images": np.full((2, 16, 16), np.nan), "spectra": np.zeros(50), "ivar": np.zeros(50)}
    fields = {"images": "image_CHW", "spectra": "flux_L", "ivar": "ivar_L"}
    arrays = {
        name: np.stack([nothing[name] if getattr(g, field) is None else getattr(g, field) for g in galaxies])
        for name, field in fields.items()
    }
    found = model.predict(**arrays, wavelength=SPEC.wavelength_L(), **model.image_grid)
    for column, name in REDSHIFTS.items():
        np.testing.assert_allclose(rows[column].to_numpy(), getattr(found, name), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(rows["mmae_anomaly"].to_numpy(), found.anomaly, rtol=1e-3)
    np.testing.assert_allclose(read_embeddings(rows), found.embedding, rtol=2e-3, atol=2e-3)
    assert np.array_equal(rows["mmae_flags"].to_numpy(), found.flags)
    warned_N = found.flags & Flag.UNLIKE_TRAINING != 0
    assert np.array_equal(warned_N, found.flags & Flag.NO_SPECTRUM != 0) and 0 < warned_N.sum() < len(warned_N)
    pdf = read_pz(rows, read_format(whole))
    np.testing.assert_allclose(pdf.probability_NK, found.pz, atol=1e-4)
    assert read_format(whole).model == model.hash


def test_every_file_and_the_page_say_what_the_flags_mean(whole):
    for pixel in read_pixels(whole):
        described = json.loads(pq.read_schema(whole / "dataset" / pixel.path).metadata[KEY])
        assert described["flags"] == {str(flag.name): int(flag) for flag in Flag}
        assert described["flag_meaning"].keys() == described["flags"].keys()
    numbers = json.loads((whole / "report" / "report.json").read_text())["numbers"]
    flags_N = read_catalogue(whole)["mmae_flags"].to_numpy()
    for flag in (Flag.UNLIKE_TRAINING, Flag.OUTSIDE_TRAINING_RANGE):
        assert numbers[f"counts/flags/{flag.name.lower()}/galaxies"] == (flags_N & flag != 0).sum()


def test_without_limits_a_catalogue_has_no_warnings(bundle, survey, whole, tmp_path):
    """And the same redshifts. Another catalogue in progress is not continued with them."""
    plain = write_small_bundle(tmp_path / "b", warnings=False)
    out = predict_here(options(plain, survey, tmp_path / "c"), page=True).path
    rows, expected = read_catalogue(out), read_catalogue(whole)
    for column in (*REDSHIFTS, "mmae_embedding"):
        assert rows[column].equals(expected[column])
    missing_N = expected["mmae_flags"].to_numpy() & ~int(WARNINGS)
    assert np.array_equal(rows["mmae_flags"].to_numpy(), missing_N)
    assert not read_format(out).warnings and read_format(whole).warnings
    described = json.loads(pq.read_schema(out / "dataset" / read_pixels(out)[0].path).metadata[KEY])
    assert described["flags"].keys() == {str(flag.name) for flag in Flag if not flag & WARNINGS}
    with pytest.raises(Killed):
        predict_here(options(plain, survey, tmp_path / "d"), killed_after(1))
    with pytest.raises(InputError, match="another flag_limits"):
        predict_here(options(bundle, survey, tmp_path / "d"))


def test_partitions_have_at_most_the_given_number_of_rows(whole):
    rows = [pq.read_metadata(whole / "dataset" / pixel.path).num_rows for pixel in read_pixels(whole)]
    assert len(rows) > 4 and max(rows) <= 30
    assert sum(rows) == pq.read_metadata(whole / "dataset" / "_metadata").num_rows == N - 3


def test_a_job_killed_twice_continues_and_gives_the_same_bytes(bundle, survey, whole, tmp_path):
    config = options(bundle, survey, tmp_path / "c")
    for n in (2, 3):
        with pytest.raises(Killed):
            predict_here(config, killed_after(n))
        assert not config.out.exists()
    done: list[int] = []
    predict_here(config, recorded(done))
    assert done == list(range(5, N_PIECES))
    assert content(config.out) == content(whole)
    assert not list(tmp_path.glob("*.unfinished"))


def test_a_job_killed_while_it_writes_partitions_continues(bundle, survey, whole, tmp_path):
    config = options(bundle, survey, tmp_path / "c")
    written: list[Path] = []

    def killed(jobs, work, workers=None):
        for job in jobs:
            if "order" in job and len(written) == 2:
                raise Killed
            result = work(job)
            written.extend([config.out] if "order" in job else [])
            yield result

    with pytest.raises(Killed):
        predict_here(config, run=killed)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "c.unfinished" / "dataset").rglob("*.parquet")}
    assert len(before) == 2
    done: list[int] = []
    predict_here(config, recorded(done))
    assert not done and content(config.out) == content(whole)
    after = {tmp_path / "c" / p.relative_to(tmp_path / "c.unfinished"): t for p, t in before.items()}
    assert {p: p.stat().st_mtime_ns for p in after} == after


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(bytes(p.stat().st_size))])
@pytest.mark.parametrize("file", ["rows/000001.parquet", f"{PIECES}/000001.json"])
def test_a_damaged_piece_is_predicted_again(bundle, survey, whole, tmp_path, file, damage):
    config = options(bundle, survey, tmp_path / "c")
    with pytest.raises(Killed):
        predict_here(config, killed_after(3))
    damage(tmp_path / "c.unfinished" / file)
    done: list[int] = []
    predict_here(config, recorded(done))
    assert done == [1, *range(3, N_PIECES)]
    assert content(config.out) == content(whole)


def test_other_pieces_give_the_same_partitions(bundle, survey, whole, tmp_path):
    """Rows do not depend on the division of the input, up to rounding in batches of other galaxies."""
    out = predict_here(options(bundle, survey, tmp_path / "c", piece_rows=1, batch_size=5)).path
    assert read_pixels(out) == read_pixels(whole)
    one, other = read_catalogue(out), read_catalogue(whole)
    assert one["object_id"].equals(other["object_id"])
    np.testing.assert_allclose(one["mmae_z_median"].to_numpy(), other["mmae_z_median"].to_numpy(), rtol=1e-4)


def test_a_finished_catalogue_is_not_written_again(bundle, survey, whole, tmp_path):
    before = content(whole)
    config = options(bundle, survey, whole)
    console = Console(file=io.StringIO(), width=200)
    found = predict_here(config, run_pieces=None, console=console)
    assert (found.rows, found.rejected) == (N - 3, 3) and "finished" in console.file.getvalue()
    assert content(whole) == before
    with pytest.raises(InputError, match="not a catalogue of this job"):
        predict_here(replace(config, anomaly=False))


def test_another_job_does_not_continue(bundle, survey, tmp_path):
    config = options(bundle, survey, tmp_path / "c")
    with pytest.raises(Killed):
        predict_here(config, killed_after(1))
    other = write_small_bundle(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match=r"another model"):
        predict_here(replace(config, model=str(other)))
    with pytest.raises(InputError, match=r"another anomaly, batch_size"):
        predict_here(replace(config, batch_size=4, anomaly=False))


def test_a_damaged_partition_is_written_again(bundle, survey, whole, tmp_path):
    config = options(bundle, survey, tmp_path / "c")
    with pytest.raises(Killed), pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_module, "write_catalogue_files", killing)
        predict_here(config)
    path = tmp_path / "c.unfinished" / "dataset" / read_pixels(whole)[1].path
    data = bytearray(path.read_bytes())
    data[100:200] = bytes(100)
    path.write_bytes(data)
    predict_here(config)
    assert content(config.out) == content(whole)


def test_a_job_killed_when_it_was_finished_leaves_nothing(bundle, survey, whole, tmp_path):
    config = options(bundle, survey, tmp_path / "c")
    with pytest.raises(Killed), pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "remove_job_files", killing)
        predict_here(config)
    assert (config.out / PIECES).exists()
    predict_here(config, run_pieces=None)
    assert content(config.out) == content(whole)


def test_files_of_others_are_not_touched(bundle, survey, tmp_path):
    (tmp_path / "c.unfinished").mkdir()
    (tmp_path / "c.unfinished" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex: not a file of a prediction"):
        predict_here(options(bundle, survey, tmp_path / "c"))


def test_images_alone(bundle, survey, tmp_path):
    out = predict_here(options(bundle, survey, tmp_path / "c", use=("image",))).path
    rows = read_catalogue(out)
    assert sorted(rows["object_id"].to_pylist()) == [g.object_id for g in GALAXIES if g.image_CHW is not None]
    assert (rows["mmae_flags"].to_numpy() & Flag.NO_SPECTRUM != 0).all()
    assert read_format(out).modalities == ("image",)


def test_galaxies_of_the_training_set_are_marked(bundle, survey, whole, tmp_path):
    assert read_catalogue(whole)["mmae_in_training"].null_count == N - 3  # not known
    trained = tmp_path / "b"
    shutil.copytree(bundle, trained)
    rows = [{"ra": g.ra, "dec": g.dec + (0.5 + i % 2) / 3600} for i, g in enumerate(GALAXIES[:40])]
    pq.write_table(pa.Table.from_pylist([*rows, {"ra": None, "dec": None}]), trained / TRAINING_ROWS)
    found = read_catalogue(predict_here(options(trained, survey, tmp_path / "c")).path)
    marked = found.filter(found["mmae_in_training"])["object_id"].to_pylist()
    assert sorted(marked) == [f"g{i:05d}" for i in range(0, 40, 2) if i != 34]  # 0.5 arcsec away, not 1.5
    assert found["mmae_in_training"].null_count == 0
    (trained / TRAINING_ROWS).write_bytes(b"PAR1 half")
    with pytest.raises(InputError, match="cannot be read"):
        predict_here(options(trained, survey, tmp_path / "d"))


def test_without_anomaly_scores(bundle, survey, tmp_path):
    rows = read_catalogue(predict_here(options(bundle, survey, tmp_path / "c", anomaly=False)).path)
    assert rows["mmae_anomaly"].null_count == len(rows) and rows["mmae_z_median"].null_count == 0


def test_bad_rows_are_listed_and_counted(bundle, tmp_path):
    image, flux, ivar = (getattr(GALAXIES[0], name) for name in ("image_CHW", "flux_L", "ivar_L"))
    infinite = image.copy()
    infinite[0, 3, 3] = np.inf
    wrong = {
        0: {"ra": None},
        1: {"dec": 95.0},
        2: {"image_CHW": infinite},
        3: {"image_CHW": infinite, "flux_L": None, "ivar_L": None},
        4: {"image_CHW": image, "flux_L": flux, "ivar_L": np.where(np.arange(50) == 7, np.nan, ivar)},
        5: {"flux_L": flux, "ivar_L": np.zeros_like(ivar)},
        9: {"image_CHW": np.zeros_like(image)},
    }
    survey = write_survey(tmp_path / "s", [galaxy(i, **wrong.get(i, {})) for i in range(30)])
    out = predict_here(options(bundle, survey, tmp_path / "c"), page=True)
    rejected = pq.read_table(out.path / "rejected.parquet").to_pylist()
    found = {(r["object_id"], r["field"]): r["reason"] for r in rejected}
    assert found.keys() == {
        ("g00000", "row"),
        ("g00001", "row"),
        ("g00002", "image"),
        ("g00003", "image"),
        ("g00003", "row"),
        ("g00004", "spectrum"),
        ("g00005", "spectrum"),
        ("g00009", "image"),
        ("g00009", "row"),
    }
    assert all("test/00000" in r["where"] and ", row " in r["where"] for r in rejected)
    assert (out.rows, out.rejected) == (26, 4)
    rows = {row["object_id"]: row for row in read_catalogue(out.path, ["object_id", "mmae_flags"]).to_pylist()}
    assert rows.keys() == {f"g{i:05d}" for i in range(30)} - {"g00000", "g00001", "g00003", "g00009"}
    assert rows["g00002"]["mmae_flags"] & Flag.NO_IMAGE and rows["g00004"]["mmae_flags"] & Flag.NO_SPECTRUM
    report = json.loads((out.path / "report" / "report.json").read_text())
    assert report["numbers"]["counts/rows/rejected_rows/galaxies"] == 4


def all_values(table: pa.Table) -> bytes:
    """All values, also those that are not a number."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.remove_metadata()) as stream:
        stream.write_table(table.replace_schema_metadata().combine_chunks())
    return sink.getvalue().to_pybytes()


def test_hats_catalogue_and_pattern_give_the_same_rows(bundle, survey, whole, tmp_path):
    hats = tmp_path / "hats"
    for number, file in enumerate(sorted((survey / "test").iterdir())):
        path = hats / "dataset" / "Norder=5" / "Dir=0" / f"Npix={number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, path)
    (hats / "hats.properties").write_text("obs_collection=x\ndataproduct_type=object\n")
    pq.write_table(pa.table({"Norder": [5]}), hats / "data_thumbnail.parquet")  # no rows of the catalogue
    for given in (hats, f"{survey}/test/*.parquet"):
        out = tmp_path / f"c{len(str(given))}"
        predict_here(options(bundle, given, out))
        assert all_values(read_catalogue(out)) == all_values(read_catalogue(whole))


def test_integer_ids_stay_integers(bundle, survey, tmp_path):
    table = pq.read_table(survey / "test" / "000000.parquet", partitioning=None)
    ids = pa.array(range(len(table)), pa.int64())
    table = table.set_column(0, "object_id", ids).replace_schema_metadata(table.schema.metadata)
    pq.write_table(table, tmp_path / "a.parquet")
    rows = read_catalogue(predict_here(options(bundle, tmp_path / "a.parquet", tmp_path / "c")).path)
    assert sorted(rows["object_id"].to_pylist()) == sorted(set(range(20)) - {34})


def test_two_jobs_do_not_write_the_same_catalogue(bundle, survey, tmp_path):
    config = options(bundle, survey, tmp_path / "c")

    def second(jobs, make):
        with pytest.raises(InputError, match="another process is writing"):
            predict_here(config)
        return pieces_in_turn(jobs, make)

    predict_here(config, second)


def test_page_shows_the_unusual_galaxies(whole):
    page = (whole / "report" / "report.html").read_text()
    assert "Most unusual galaxies" in page and "Sky" in page
    assert job_module.REJECTED_FILE in {path.name for path in whole.iterdir()}
