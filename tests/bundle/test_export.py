"""What an exported bundle contains, and the same model in MLflow."""

from __future__ import annotations

import dataclasses
import json

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from mlflow import MlflowClient

import mmae
from mmae.bundle.config import ExportConfig
from mmae.bundle.export import export
from mmae.bundle.facts import read_facts
from mmae.bundle.predictions import Flag
from mmae.bundle.write import bundle_of_checkpoint, write_bundle
from mmae.core.errors import InputError
from mmae.inference.fit_flags import save_flags
from mmae.inference.stored_scores import write_scores
from mmae.loader.collate import input_spec, to_batch
from mmae.survey.columns import split_hash
from mmae.survey.leaks import write_training_rows
from mmae.tracking.runs import open_named_run, tracking_uri
from tests.bundle.bundles import (
    BANDED,
    GRID,
    SCORES,
    WAVELENGTH_L,
    arrays,
    strict_limits,
    tiny_bundle,
    write_checkpoint,
)
from tests.model.galaxies import random_batch, tiny
from tests.realism.surveys import make_survey


@pytest.fixture(autouse=True)
def tracking_uri_is_restored(monkeypatch):
    """`mlflow.set_tracking_uri` sets the variable for all later tests."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # only a variable that was set is restored
    monkeypatch.delenv("MLFLOW_TRACKING_URI")


@pytest.fixture
def home(tmp_path):
    """A home with one run, `one`, that MLflow has too."""
    run_dir = tmp_path / "home" / "runs" / "one"
    save_flags(strict_limits(write_checkpoint(run_dir / "best")), run_dir / "best")
    write_scores(run_dir, "abc", SCORES)
    open_named_run(tracking_uri(tmp_path / "home"), "mmae", "one", run_dir, {})
    return tmp_path / "home"


def front_matter(folder) -> dict:
    _, front, _ = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front)


def test_the_card_has_scores_data_and_licence(tmp_path):
    survey = make_survey(tmp_path / "sky", 60)
    write_checkpoint(tmp_path / "best")
    write_training_rows(survey, tmp_path / "best")
    bundle = write_bundle(tmp_path / "best", tmp_path / "bundle", "one", SCORES, "cc-by-4.0")
    front = front_matter(bundle)
    assert front["license"] == "cc-by-4.0" and front["library_name"] == "mmae"
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"]["name"] == "sky" and result["dataset"]["revision"] == survey.content_hash
    assert result["metrics"][0]["value"] == 0.0123
    assert result["metrics"][0]["args"] == {"interval_68": [0.0113, 0.0133], "galaxies": 20}
    training = json.loads((bundle / "config.json").read_text())["training"]
    assert training["split_hash"] == split_hash(survey)
    counts = survey.rows_per_split()
    assert training["galaxies"] == {"train": counts["train"], "val": counts["val"]}
    assert (bundle / "training_rows.parquet").exists()
    text = (bundle / "README.md").read_text()
    for wanted in ("g, r", "0.2 arcsec", "27 AB", "4000 to 6940", survey.content_hash, "Must not be used for"):
        assert wanted in text


def test_a_model_without_scores_or_training_rows(tmp_path):
    write_checkpoint(tmp_path / "best")
    bundle = write_bundle(tmp_path / "best", tmp_path / "bundle", "one", None)
    assert "model-index" not in front_matter(bundle) and "not scored" in (bundle / "README.md").read_text()
    assert read_facts(tmp_path / "best", "one", None).galaxies == {}


def test_export_of_a_run_by_name(home, tmp_path):
    out = export(ExportConfig(run="one", out=str(tmp_path / "out"), home=str(home)))
    assert "0.0123" in (out / "README.md").read_text()
    of_run, exported = bundle_of_checkpoint(home / "runs" / "one" / "best"), mmae.load(out)
    assert of_run.hash == exported.hash and of_run.spec == exported.spec
    assert exported.limits is not None and of_run.description.flags_sha256 == exported.description.flags_sha256
    export(ExportConfig(run="one", out=str(tmp_path / "out"), home=str(home)))  # replaces it


def test_a_folder_of_other_files_is_not_replaced(home, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(InputError, match="has other files"):
        export(ExportConfig(run="one", out=str(tmp_path / "out"), home=str(home)))
    assert (tmp_path / "out" / "thesis.txt").exists()


def test_a_registered_model_predicts_a_table(home, tmp_path):
    """Through MLflow: by code, without a pickle, with missing values as null."""
    out = export(ExportConfig(run="one", out=str(tmp_path / "out"), home=str(home), register="galaxies"))
    version = MlflowClient(tracking_uri(home)).get_model_version("galaxies", "1")
    mlflow.set_tracking_uri(tracking_uri(home))
    model = mlflow.pyfunc.load_model(f"models:/{version.name}/{version.version}")
    assert not list(out.parent.rglob("*.pkl"))
    given = arrays(random_batch(3, BANDED))
    table = pd.DataFrame(
        {
            "image": [x.astype(float).tolist() for x in given["images"]],
            "flux": [x.astype(float).tolist() for x in given["spectra"]],
            "ivar": [x.astype(float).tolist() for x in given["ivar"]],
        }
    )
    table.loc[1, ["flux", "ivar"]] = None
    found = model.predict(table)
    given["spectra"][1] = np.nan
    expected = mmae.load(out).predict(**given, **GRID, wavelength=WAVELENGTH_L)
    np.testing.assert_allclose(found["z_median"], expected.z_median, rtol=1e-5)
    np.testing.assert_allclose(np.stack(found["pz"]), expected.pz, atol=1e-6)
    assert found["flags"].tolist() == expected.flags.tolist()
    assert (expected.flags & Flag.OUTSIDE_TRAINING_RANGE).all()  # also the limits are there


def test_a_model_of_magnitudes_in_mlflow(home, tmp_path):
    """A survey of catalogues alone has neither images nor spectra."""
    config = tiny(image={"use": False}, spectrum={"use": False}, magnitudes={"use": True})
    tables = dataclasses.replace(BANDED, image_size=0, n_wavelengths=0)
    write_checkpoint(home / "runs" / "two" / "best", config, tables)
    open_named_run(tracking_uri(home), "mmae", "two", home / "runs" / "two", {})
    out = export(ExportConfig(run="two", out=str(tmp_path / "out"), home=str(home), register="tables"))
    mlflow.set_tracking_uri(tracking_uri(home))
    model = mlflow.pyfunc.load_model("models:/tables/1")
    assert model.metadata.signature.inputs.input_names() == ["magnitudes", "magnitude_errors"]
    magnitude_NC = np.array([[20.0, 19.0], [22.0, np.nan]])
    found = model.predict(pd.DataFrame({"magnitudes": magnitude_NC.tolist()}))
    expected = mmae.load(out).predict(magnitudes=magnitude_NC, bands=BANDED.bands)
    np.testing.assert_allclose(found["z_median"], expected.z_median, rtol=1e-5)


def test_rows_of_a_survey(tmp_path):
    """As its arrays; a table need not have redshifts; other grids are refused."""
    survey = make_survey(tmp_path / "sky", 20, size=16)
    spec = input_spec(survey.spec)
    write_checkpoint(tmp_path / "best", tiny(spectrum={"patch": 512}), spec)
    bundle = mmae.load(write_bundle(tmp_path / "best", tmp_path / "bundle", "one", None))
    rows = pa.concat_tables([pq.read_table(survey.path / shard.path, partitioning=None) for shard in survey.shards])
    grid = {**bundle.image_grid, "wavelength": bundle.wavelength}
    expected = bundle.predict(**arrays(to_batch(rows, survey.spec)), **grid)
    for found in (bundle.predict_rows(survey), bundle.predict_rows(rows.drop_columns(["redshift"]), batch_size=7)):
        np.testing.assert_allclose(found.z_median, expected.z_median, rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="no metadata of a survey"):
        bundle.predict_rows(rows.replace_schema_metadata())
    with pytest.raises(InputError, match="bands is .*n_wavelengths is"):
        mmae.load(tiny_bundle(tmp_path / "other")).predict_rows(survey)
