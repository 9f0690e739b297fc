"""Harm done to real runs, the quick part of benchmarks/faults: they recover, and nothing shows that it was done."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLED = "worker killed (kill -9)"
QUICK = [KILLED, "shard damaged", "newest checkpoint cut in half"]


def outcomes(folder: Path, *options: str) -> dict[str, dict]:
    environment = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "MMAE_HOME")}
    subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/faults/run.py"), "--quick", "--json", str(folder / "outcomes.json"), *options],
        env=environment, cwd=folder, timeout=900,
    )
    return {outcome["name"]: outcome for outcome in json.loads((folder / "outcomes.json").read_text())}


def require_recovered(outcome: dict) -> None:
    assert outcome["ok"], outcome["happened"]
    assert outcome["lost"] <= 7  # steps; one checkpoint interval, or two where the newest checkpoint is lost as well
    assert outcome["difference"] <= 1e-6  # of the final weights, from those of an undisturbed run


def test_a_run_survives_the_death_of_its_worker(tmp_path):
    done = outcomes(tmp_path, "--only", KILLED)
    assert list(done) == [KILLED]
    require_recovered(done[KILLED])


@pytest.mark.slow
def test_a_run_survives_whatever_is_quick(tmp_path):
    done = outcomes(tmp_path)
    assert list(done) == QUICK
    for outcome in done.values():
        require_recovered(outcome)
