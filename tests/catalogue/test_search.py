"""Nearest neighbours in a catalogue."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from mmae.catalogue.index import INDEX, Neighbours, build_index
from mmae.catalogue.read import read_catalogue, read_embeddings
from mmae.catalogue.row_numbers import NumberedRows
from mmae.catalogue.search import search
from mmae.catalogue.search_config import SearchConfig
from mmae.core.errors import InputError
from tests.catalogue.small import galaxy, options, predict_here, write_small_bundle, write_survey

pytest.importorskip("usearch")
N = 150


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    bundle = write_small_bundle(folder / "b")
    survey = write_survey(folder / "s", [galaxy(i) for i in range(N)])
    return predict_here(options(bundle, survey, folder / "c", anomaly=False)).path


def exact(embedding_ND: np.ndarray) -> np.ndarray:
    """All galaxies by decreasing cosine to each."""
    unit_ND = embedding_ND - embedding_ND.mean(0)
    unit_ND /= np.linalg.norm(unit_ND, axis=1, keepdims=True)
    return np.argsort(-unit_ND @ unit_ND.T, axis=1)


def test_neighbours_are_the_nearest(catalogue):
    embedding_ND = read_embeddings(read_catalogue(catalogue))
    number_NM, cosine_NM = Neighbours(catalogue).near(embedding_ND, 6)
    expected_NM = exact(embedding_ND)[:, :6]
    same = [len(set(a) & set(b)) / 6 for a, b in zip(number_NM, expected_NM, strict=True)]
    assert np.mean(same) > 0.97  # ties of rounding in float16
    assert (np.diff(cosine_NM) <= 1e-3).all() and np.allclose(cosine_NM[:, 0], 1, atol=2e-3)


def test_rows_are_found_by_number_and_name(catalogue):
    opened, ids = NumberedRows(catalogue), read_catalogue(catalogue)["object_id"].to_pylist()
    numbers = np.array([77, 3, 100, 3])
    assert opened.take(numbers, ["object_id"])["object_id"].to_pylist() == [ids[n] for n in numbers]
    assert opened.number_of(ids[90]) == 90
    with pytest.raises(InputError, match="--like g9: .* has no such object_id"):
        opened.number_of("g9")


def test_search_writes_a_table_and_pictures(catalogue, tmp_path):
    console = Console(file=io.StringIO(), width=200)
    config = SearchConfig(
        catalogue, ("g00007", "g00020"), neighbours=5, survey=str(catalogue.parent / "s"), out=tmp_path / "out"
    )
    rows = search(config, console).to_pylist()
    assert [row["object_id"] for row in rows if row["rank"] == 0] == ["g00007", "g00020"]
    assert len(rows) == 12 and rows == pq.read_table(tmp_path / "out" / "neighbours.parquet").to_pylist()
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"neighbours-00.png", "neighbours-01.png"}
    assert "like g00007" in console.file.getvalue()


def test_a_damaged_index_is_refused(catalogue, tmp_path):
    copy = tmp_path / "c"
    shutil.copytree(catalogue, copy)
    (build_index(copy) / INDEX).write_bytes(b"half")
    with pytest.raises(InputError, match="damaged index"):
        Neighbours(copy)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a catalogue of ray_jobs/predict.py"):
        search(SearchConfig(tmp_path, ("a",)))
