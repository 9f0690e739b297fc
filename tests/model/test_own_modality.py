"""A modality in a file outside the package: from a survey's Parquet column to a trained model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def run(script: Path, *arguments: str, modalities: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"MMAE_MODALITIES": modalities, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, str(script), *arguments], env=environment, capture_output=True, text=True)


@pytest.mark.long
def test_outside_modality_is_read_masked_and_trained(tmp_path):
    done = run(HERE / "train_light_curves.py", str(tmp_path), modalities=str(HERE / "light_curve.py"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["masks"] == [0.25, 0.5, 0.1]
    assert found["tokens"] == {"image": 4, "light_curve": 4}
    assert found["modes"] == ["image", "light_curve", "image and light_curve"]
    assert found["read_correctly"] and all(found["read_correctly"].values())
    assert found["last"] < 0.5 * found["first"]  # sine curves with one of four periods: predictable
    assert found["config"]


def test_missing_modality_file_is_named_in_the_error(tmp_path):
    done = run(HERE / "train_light_curves.py", str(tmp_path), modalities=str(tmp_path / "nothing.py"))
    assert done.returncode != 0 and "nothing.py" in done.stderr
