"""`--help` and a wrong option load only what the options of a command need; the benchmark of starts runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.start import commands

ROOT = Path(__file__).parents[1]
HEAVY = {"astropy", "galsim", "matplotlib", "mlflow", "optuna", "pandas", "ray", "scipy", "sklearn", "torch"}
COMMANDS = commands()
RUN = """
import json, runpy, sys
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    packages = sorted({name.split(".")[0] for name in sys.modules})
    print(json.dumps({"status": end.code, "packages": packages}))
"""


@pytest.mark.parametrize("option, status", [("--help", 0), ("--no-such-option", 2)])
@pytest.mark.parametrize("command", COMMANDS)
def test_options_load_no_heavy_package(command, option, status):
    code = f"import sys; sys.argv = {[command, option]!r}; exec({RUN!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["status"] == status
    assert not HEAVY & set(found["packages"])


def test_the_benchmark_of_starts_runs():
    command = [sys.executable, "-m", "benchmarks.start", "--dry"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    heading, _, row = done.stdout.splitlines()
    assert len(row.split("|")) == len(heading.split("|"))
