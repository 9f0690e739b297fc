"""benchmarks/predict.py runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mmae.survey.schema import SurveySpec
from tests.catalogue.small import write_small_bundle

ROOT = Path(__file__).parents[2]


def test_benchmark_prints_rates_and_memory(tmp_path):
    bundle = write_small_bundle(tmp_path / "b", SurveySpec())
    command = [sys.executable, str(ROOT / "benchmarks/predict.py"), "--model", str(bundle)]
    options = ["--galaxies", "16", "--piece", "8", "--batch", "8", "--rows", "100"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "elapsed time: loop" in done.stdout and "ratio" in done.stdout and "resident memory" in done.stdout
