"""The benchmarks of catalogues run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mmae.survey.schema import SurveySpec
from tests.catalogue.small import galaxy, write_small_bundle, write_survey

ROOT = Path(__file__).parents[2]


def test_benchmark_prints_rates_and_memory(tmp_path):
    bundle = write_small_bundle(tmp_path / "b", SurveySpec())
    command = [sys.executable, str(ROOT / "benchmarks/predict.py"), "--model", str(bundle)]
    options = ["--galaxies", "16", "--piece", "8", "--batch", "8", "--rows", "100"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "elapsed time: loop" in done.stdout and "ratio" in done.stdout and "resident memory" in done.stdout


def test_accuracy_is_printed_for_each_input(tmp_path):
    bundle = write_small_bundle(tmp_path / "b")
    survey = write_survey(tmp_path / "s", [galaxy(i) for i in range(40)])
    command = [sys.executable, str(ROOT / "benchmarks/catalogue_accuracy.py"), "--model", str(bundle)]
    done = subprocess.run([*command, "--survey", str(survey)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "CRPS" in line]
    assert [line.split(":")[0] for line in lines] == ["image", "spectrum", "image and spectrum"]
