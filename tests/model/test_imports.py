"""Importing the model loads neither Ray nor Arrow nor MLflow."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

import mmae.model

HEAVY = {"ray", "pyarrow", "mlflow"}


def loaded_by(*modules: str) -> set[str]:
    """The top-level packages that a fresh process has loaded after importing `modules`."""
    code = f"import sys, json\nimport {', '.join(modules)}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout)}


def test_model_modules_do_not_import_ray_arrow_or_mlflow():
    modules = [f"mmae.model.{m.name}" for m in pkgutil.iter_modules(mmae.model.__path__)]
    assert "mmae.model.build" in modules and "mmae.model.paper" in modules
    loaded = loaded_by(*modules)
    assert {"torch", "mmae"} <= loaded and not HEAVY & loaded


def test_training_step_and_checkpoint_do_not_import_ray():
    assert not HEAVY & loaded_by("mmae.training.step", "mmae.training.checkpoint", "mmae.inference.predict")


def test_row_group_reader_does_not_import_torch():
    assert not {"torch", "ray", "mlflow"} & loaded_by("mmae.loader.row_groups")
