"""Runs recover from injected faults with unchanged weights: the quick part of benchmarks/faults.

Faster versions run in `make test-all`: test_run kills a worker, tests/loader/test_stream damages a shard, test_workers
damages checkpoints.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUICK = ["worker killed (kill -9)", "shard damaged", "newest checkpoint cut in half"]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("faults")
    environment = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "MMAE_HOME")}
    subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/faults/run.py"), "--quick", "--json", str(folder / "outcomes.json")],
        env=environment,
        cwd=folder,
        timeout=900,
    )
    return {outcome["name"]: outcome for outcome in json.loads((folder / "outcomes.json").read_text())}


@pytest.mark.slow
@pytest.mark.parametrize("fault", QUICK)
def test_a_run_recovers(outcomes, fault):
    outcome = outcomes[fault]
    assert outcome["ok"], outcome["happened"]
    assert outcome["lost"] <= 7  # steps; one checkpoint interval, or two if the newest checkpoint is lost as well
    assert outcome["difference"] <= 1e-6  # of the final weights, from those of an undisturbed run


@pytest.mark.slow
def test_these_are_all_quick_faults(outcomes):
    assert list(outcomes) == QUICK
