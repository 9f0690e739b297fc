"""All models on one simulated survey, one split, one budget, and their scores as a table.

    python -m benchmarks.models.compare --survey ~/mmae/surveys/models --out ~/mmae/models
    python -m benchmarks.models.compare --survey ~/mmae/surveys/models --out ~/mmae/ablations --set ablations --minutes 5

No Ray: the survey (20,000 galaxies, 3 minutes on two cores) is simulated on all CPUs of this machine if it is not there
yet, and every run has one thread of its own, or the GPU. A finished run is kept and not repeated: its folder is a
checkpoint, for `python ray_jobs/evaluate.py --run FOLDER`. The budget is of CPU time (on a GPU: wall time) in steps. The
validation split is scored while training goes on, the test split once, at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import torch

from benchmarks.models.contestants import SETS, Contestant
from benchmarks.models.runner import Trained, train_for
from benchmarks.models.score import Numbers, probe, score
from benchmarks.models.survey import load, rows, simulated_survey
from benchmarks.models.table import markdown
from mmae.evaluation.leaks import write_training_rows
from mmae.survey.collate import input_spec
from mmae.survey.store import open_survey
from mmae.training.checkpoint import save_model
from mmae.training.step import TrainState

RESULT = "result.json"
WATCHED = 1000  # validation galaxies that are scored while training goes on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--survey", type=Path, required=True, help="folder of the survey; simulated if it is empty")
    parser.add_argument("--galaxies", type=int, default=20_000, help="to simulate")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--set", choices=SETS, default="baselines", help="which models")
    parser.add_argument("--only", nargs="*", help="names of the set; all by default")
    parser.add_argument("--minutes", type=float, default=20.0, help="budget of a run")
    parser.add_argument("--split", default="test", help="what is scored in the end; val while models are designed")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, each with one thread; 1 on a GPU")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    survey = simulated_survey(arguments.survey.expanduser(), arguments.galaxies)
    contestants = SETS[arguments.set]()
    chosen = {name: contestants[name] for name in arguments.only or contestants}
    runs = [(name, seed) for name, one in chosen.items() for seed in range(one.seeds)]
    runs.sort(key=lambda run: run[1])  # one seed of each first
    joblib.Parallel(arguments.jobs)(
        joblib.delayed(one_run)(name, seed, chosen[name], survey.path, arguments) for name, seed in runs
    )
    results = [json.loads((folder_of(arguments.out, *run) / RESULT).read_text()) for run in runs]
    print(markdown(results))


def folder_of(out: Path, name: str, seed: int) -> Path:
    return out.expanduser() / f"{name.replace(' ', '-').replace(',', '')}-{seed}"


def one_run(name: str, seed: int, contestant: Contestant, survey_path: Path, arguments: argparse.Namespace) -> None:
    """Train, score and keep; nothing to do if that was done."""
    folder = folder_of(arguments.out, name, seed)
    if (folder / RESULT).exists():
        return
    if arguments.device == "cpu":
        torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    device, survey = torch.device(arguments.device), open_survey(survey_path)
    train, validation = contestant.prepare(load(survey, "train")), load(survey, "val")
    watched = rows(validation, np.arange(min(WATCHED, len(validation))))
    started = time.time()

    def look(state: TrainState, spent: float) -> None:
        numbers = score(state.best_weights, watched, device, seed)
        print(f"{name} {seed}: step {state.step}, {spent:.0f} s, {_first_scatter(numbers)}", file=sys.stderr, flush=True)

    trained = train_for(60 * arguments.minutes, replace(contestant.config, seed=seed), train, input_spec(survey.spec),
                        device, look)
    tested = validation if arguments.split == "val" else load(survey, arguments.split)
    numbers = score(trained.state.best_weights, tested, device, seed)
    if contestant.config.model.kind == "contrastive":
        numbers |= probe(trained.state.best_weights, train, tested, device, seed)
    save_model(folder, trained.state, trained.state.best_weights, trained.config, {})
    write_training_rows(survey, folder)
    (folder / RESULT).write_text(json.dumps(_result(name, seed, trained, numbers, len(train), time.time() - started), indent=1))


def _first_scatter(numbers: Numbers) -> str:
    name = next(name for name in numbers if name.endswith("all z sigma"))
    return f"{name} {numbers[name][0]:.4f}"


def _result(name: str, seed: int, trained: Trained, numbers: Numbers, n_train: int, wall: float) -> dict:
    return {
        "name": name, "seed": seed, "steps": trained.state.step, "galaxies_per_second": trained.galaxies / trained.seconds,
        "epochs": trained.galaxies / n_train, "seconds": trained.seconds, "wall_seconds": wall,
        "parameters": sum(p.numel() for p in trained.state.model.parameters()), "scores": numbers,
    }


if __name__ == "__main__":
    main()
