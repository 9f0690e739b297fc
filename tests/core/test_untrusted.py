"""Files that others made must not run code, lead elsewhere, or tell secrets."""

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


class Trap:
    """What a hostile pickle does when it is loaded: here, it makes a file."""

    def __init__(self, proof: Path):
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)


@pytest.fixture
def trapped(tmp_path) -> tuple[Path, Path]:
    """A Parquet file with a column of pickles, and the file that appears if one is loaded."""
    proof = tmp_path / "it-ran"
    column = ArrowPythonObjectArray.from_objects([Trap(proof), Trap(proof)])
    path = tmp_path / "catalogue.parquet"
    pq.write_table(pa.table({"y_test": column, "y_pred": np.array([0.1, 0.2]), "ra": np.array([1.0, 2.0])}), path)
    return path, proof


def test_the_trap_springs(trapped):
    path, proof = trapped
    pq.read_table(path)["y_test"].to_pylist()
    assert proof.exists()


@pytest.mark.parametrize("read", [read_table, read_predictions], ids=["catalogue", "predictions"])
def test_columns_of_pickles_are_refused_unread(trapped, read):
    path, proof = trapped
    with pytest.raises(InputError, match=r"catalogue.parquet: column y_test .*may run code"):
        read(path)
    assert not proof.exists()


def test_a_shard_with_pickles_is_refused(small_survey, trapped, tmp_path):
    path, proof = trapped
    survey = tmp_path / "survey"
    shutil.copytree(small_survey, survey)
    shard = json.loads((survey / MANIFEST).read_text())["shards"][0]
    whole = pq.read_table(survey / shard["path"])
    column = ArrowPythonObjectArray.from_objects([Trap(proof)] * len(whole))
    pq.write_table(whole.set_column(whole.schema.get_field_index("flux"), "flux", column), survey / shard["path"])
    with pytest.raises(InputError, match="columns or types differ"):
        open_survey(survey)
    assert not proof.exists()


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/train/00000.parquet", "train/../../x.parquet"])
@pytest.mark.parametrize("kind", ["shards", "truth"])
def test_a_manifest_stays_in_its_folder(small_survey, tmp_path, path, kind):
    survey = tmp_path / "survey"
    shutil.copytree(small_survey, survey)
    values = json.loads((survey / MANIFEST).read_text())
    values[kind][0]["path"] = path
    (survey / MANIFEST).write_text(json.dumps(values))
    with pytest.raises(InputError, match="lies outside of this folder"):
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
def test_passwords_are_not_shown(uri, shown):
    assert without_password(uri) == shown
    assert "secret" not in Tracker(uri, "0").how_to_look and "p@ss" not in Tracker(uri, "0").how_to_look
