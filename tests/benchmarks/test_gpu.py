"""benchmarks/gpu.py without a GPU: all parts with tiny sizes, and parts that fail or take too long."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from mmae.recipes import recipe
from mmae.training.step import create_state

PARTS = ("simulation", "peak", "step", "profile", "inference", "small", "contest", "torch.compile")


@pytest.fixture(autouse=True)
def same_threads():
    """The script sets the number of threads of torch."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def results(folder: Path) -> dict:
    return json.loads((folder / "gpu.json").read_text())


def test_a_part_that_fails_is_a_line_and_the_others_run(tmp_path: Path, monkeypatch) -> None:
    def missing(*_: object) -> dict:
        raise ModuleNotFoundError("No module named 'galsim'")

    for name in ("part_simulation", "part_compile", "part_contest", "part_steps"):
        monkeypatch.setattr(gpu, name, missing)
    gpu.main(["--dry", "--out", str(tmp_path)])
    found = results(tmp_path)
    assert set(found) == set(PARTS)
    assert {name for name in PARTS if "error" in found[name]} == {
        "simulation",
        "small",
        "step",
        "contest",
        "torch.compile",
    }
    table = (tmp_path / "gpu.md").read_text().splitlines()
    assert any("galsim" in line for line in table)
    assert {line.count("|") for line in table} == {4}


def test_a_part_is_ended_at_its_limit(tmp_path: Path) -> None:
    report = gpu.Report(tmp_path)
    started = time.perf_counter()
    assert gpu.run_part(report, "endless", 0.2, lambda: time.sleep(60)) == {}
    assert time.perf_counter() - started < 30
    assert "longer than" in results(tmp_path)["endless"]["error"]
    assert gpu.run_part(report, "next", 5.0, lambda: {"value": 1}) == {"value": 1}


def test_steps_are_compared_with_the_peak(tmp_path: Path) -> None:
    report, run = gpu.Report(tmp_path), gpu._run("small", "float32", gpu.DRY)
    measured = gpu._measure(report, gpu.DRY, run, "small", 1e12, "cpu")
    assert measured["share_of_peak"] == pytest.approx(measured["flop"] / measured["seconds"] / 1e12)
    assert measured["galaxies_per_s"] == pytest.approx(gpu.DRY.batch / measured["seconds"])


def test_a_cpu_runs_a_smaller_model_and_a_gpu_the_recipe() -> None:
    assert gpu._run("base", "auto", gpu.GPU) == recipe("base")
    smaller = create_state(gpu._run("small", "auto", gpu.DRY), gpu.SPEC, torch.device("cpu")).model
    assert len(smaller.encoder) == 1


@pytest.mark.slow
def test_all_parts_run(tmp_path: Path) -> None:
    gpu.main(["--dry", "--out", str(tmp_path)])
    found = results(tmp_path)
    assert set(found) == set(PARTS)
    assert not [name for name in PARTS if "error" in found[name]]
    assert found["simulation"]["galaxies"] == gpu.DRY.galaxies
    assert found["small"]["train"] + found["small"]["test"] == gpu.DRY.galaxies
