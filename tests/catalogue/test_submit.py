"""`ray job submit -- python ray_jobs/predict.py ...`"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mmae.catalogue.read import read_catalogue
from tests.catalogue.small import galaxy, write_small_bundle, write_survey
from tests.deploy.test_auth import RAY, head  # noqa: F401  # a fixture

ROOT = Path(__file__).parents[2]


@pytest.fixture
def job(tmp_path) -> list[str]:
    bundle = write_small_bundle(tmp_path / "b")
    survey = write_survey(tmp_path / "s", [galaxy(i) for i in range(30)])
    options = ["--model", bundle, "--survey", survey, "--out", tmp_path / "c"]
    return ["python", str(ROOT / "ray_jobs/predict.py"), *map(str, options)]


@pytest.mark.slow
def test_a_submitted_job_writes_the_catalogue_and_a_wrong_one_says_why(head, job, tmp_path):  # noqa: F811
    url, environment, _ = head
    environment = environment | {"PYTHONPATH": str(ROOT)}
    paths = os.pathsep.join([str(Path(RAY).parent), environment["PATH"]])
    runtime = f'{{"env_vars": {{"PYTHONPATH": "{ROOT}", "PATH": "{paths}"}}}}'
    submit = [RAY, "job", "submit", "--address", url, "--runtime-env-json", runtime, "--"]
    done = subprocess.run([*submit, *job], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(read_catalogue(tmp_path / "c")) == 30
    wrong = [*submit, *job, "--use", "magnitudes"]
    refused = subprocess.run(wrong, env=environment, capture_output=True, text=True, timeout=300)
    assert refused.returncode != 0 and "the model reads image, spectrum only" in refused.stdout + refused.stderr
