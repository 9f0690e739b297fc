"""Untrusted files must not run code or refer to files elsewhere; credentials must not be shown."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray.data._internal.object_extensions.arrow import ArrowPythonObjectArray

from mmae.astro.tables import read_table
from mmae.core.errors import InputError
from mmae.core.untrusted import without_password
from mmae.evaluation.photoz.predictions_file import read_predictions
from mmae.survey.store import MANIFEST, open_survey
from mmae.tracking.runs import Tracker


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, created: Path):
        self.created = created

    def __reduce__(self):
        return Path.touch, (self.created,)


@pytest.fixture
def malicious(tmp_path) -> tuple[Path, Path]:
    """A Parquet file with a column of pickles, and the file that is created if one of them is loaded."""
    created = tmp_path / "created"
    column = ArrowPythonObjectArray.from_objects([Malicious(created), Malicious(created)])
    path = tmp_path / "catalogue.parquet"
    pq.write_table(pa.table({"y_test": column, "y_pred": np.array([0.1, 0.2]), "ra": np.array([1.0, 2.0])}), path)
    return path, created


def test_unchecked_reading_unpickles(malicious):
    """The test file is effective: without the check, code runs."""
    path, created = malicious
    pq.read_table(path)["y_test"].to_pylist()
    assert created.exists()


@pytest.mark.parametrize("read", [read_table, read_predictions], ids=["catalogue", "predictions"])
def test_columns_of_pickles_are_refused_without_reading(malicious, read):
    path, created = malicious
    with pytest.raises(InputError, match=r"catalogue.parquet: column y_test"):
        read(path)
    assert not created.exists()


def test_shards_with_pickles_are_refused(small_survey, tmp_path):
    created = tmp_path / "created"
    survey = tmp_path / "survey"
    shutil.copytree(small_survey, survey)
    shard = json.loads((survey / MANIFEST).read_text())["shards"][0]
    whole = pq.read_table(survey / shard["path"])
    column = ArrowPythonObjectArray.from_objects([Malicious(created)] * len(whole))
    pq.write_table(whole.set_column(whole.schema.get_field_index("flux"), "flux", column), survey / shard["path"])
    with pytest.raises(InputError, match=Path(shard["path"]).name):
        open_survey(survey)
    assert not created.exists()


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/train/00000.parquet", "train/../../x.parquet"])
@pytest.mark.parametrize("kind", ["shards", "truth"])
def test_manifest_paths_outside_the_survey_are_refused(small_survey, tmp_path, path, kind):
    survey = tmp_path / "survey"
    shutil.copytree(small_survey, survey)
    values = json.loads((survey / MANIFEST).read_text())
    values[kind][0]["path"] = path
    (survey / MANIFEST).write_text(json.dumps(values))
    with pytest.raises(InputError, match=f"{MANIFEST}: '{path}'"):
        open_survey(survey)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://ada:secret@mlflow.example.org:5000/x?y=1", "https://***@mlflow.example.org:5000/x?y=1"),
        ("https://mlflow.example.org", "https://mlflow.example.org"),
        ("sqlite:////home/ada/mmae/mlflow/mlflow.db", "sqlite:////home/ada/mmae/mlflow/mlflow.db"),
        ("postgresql://ada:p@ss@db/mlflow", "postgresql://***@db/mlflow"),
    ],
)
def test_passwords_are_removed_from_uris(uri, shown):
    assert without_password(uri) == shown
    assert "secret" not in Tracker(uri, "0").how_to_look and "p@ss" not in Tracker(uri, "0").how_to_look
