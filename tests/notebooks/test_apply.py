"""The notebook docs/notebooks/apply.ipynb runs, with and without the real data, and is committed with its outputs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mmae.model.config import ModalitiesConfig
from mmae.model.part_configs import ImageConfig, SpectrumConfig
from mmae.survey.schema import Galaxy, SurveySpec
from tests.catalogue.small import galaxy, options, predict_here, write_small_bundle, write_survey

for package in ("ipykernel", "usearch"):
    pytest.importorskip(package)
nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs/notebooks/apply.ipynb"
DATA = ROOT.parent / "shared/data"
MOST_BYTES = 1_500_000
LARGE = ModalitiesConfig(image=ImageConfig(patch=16), spectrum=SpectrumConfig(patch=512))


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> dict[str, str]:
    """A small survey on the usual grids, a model with random weights, and its catalogue of images."""
    folder = tmp_path_factory.mktemp("notebook")
    spec = SurveySpec()
    survey = write_survey(folder / "s", [large_galaxy(i, spec) for i in range(40)], spec)
    bundle = write_small_bundle(folder / "b", spec, modalities=LARGE)
    predict_here(options(bundle, survey, folder / "c", use=("image",)))
    return {"MMAE_BUNDLE": str(bundle), "MMAE_SURVEY": str(survey), "MMAE_CATALOGUE": str(folder / "c")}


def large_galaxy(number: int, spec: SurveySpec) -> Galaxy:
    rng = np.random.default_rng(number)
    noise = rng.normal(0, 1, spec.image_shape) * np.array(spec.band_noise)[:, None, None]
    y_HW, x_HW = np.indices(spec.image_shape[1:]) - 31.5
    light = rng.uniform(1, 5, (len(spec.bands), 1, 1)) * np.exp(-np.hypot(x_HW, y_HW) / rng.uniform(3, 8))
    flux_L = rng.normal(1, 0.5, spec.n_wavelengths).astype(np.float32)
    return galaxy(number, image_CHW=(light + noise).astype(np.float32), flux_L=flux_L, ivar_L=np.full_like(flux_L, 4))


def outputs(notebook) -> list:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.mark.parametrize("data", [DATA, Path("absent")], ids=["real data", "without real data"])
def test_the_notebook_runs(data, paths, tmp_path, monkeypatch):
    if data == DATA and not DATA.exists():
        pytest.skip(f"{DATA} is absent")
    python_path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    for name, value in {**paths, "MMAE_DATA": str(data), "PYTHONPATH": python_path}.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(output.get("text", "") for output in outputs(notebook))
    assert ("are used instead" in printed) == (data != DATA)
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) >= 8


def test_the_committed_notebook_has_its_outputs():
    assert NOTEBOOK.stat().st_size < MOST_BYTES
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))  # all were run, in this order
    assert not any(output.output_type == "error" for output in outputs(notebook))
    assert any("image/png" in output.get("data", {}) for output in outputs(notebook))
