"""Train all models on the same simulated survey, split and time budget, and print their scores as a table.

    python -m benchmarks.models.compare --survey ~/mmae/surveys/models --out ~/mmae/models
    python -m benchmarks.models.compare --survey ~/mmae/surveys/models --out ~/mmae/ablations --set ablations \\
        --minutes 5

Without Ray: the survey (20,000 galaxies, 3 minutes on two cores) is simulated on all CPUs of this machine if it does
not exist, and each run uses one thread, or the GPU. Finished runs are kept and not repeated; a run's folder is a
checkpoint for `python ray_jobs/evaluate.py --run FOLDER`. The budget is CPU time (on a GPU: wall time) of training
steps. The validation split is scored during training, and p(z) is recalibrated on it at the end, so that its
calibration scores are optimistic. The test split is scored once, at the end; with --split val it is not used.
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
from benchmarks.models.runner import train_for
from benchmarks.models.score import Numbers, batches, hidden_pixels, probe, score
from benchmarks.models.survey import load, rows, simulated_survey
from benchmarks.models.table import markdown, read_results
from mmae.inference.checkpoint import load_model
from mmae.inference.recalibrate import recalibrate
from mmae.loader.collate import input_spec
from mmae.survey.leaks import write_training_rows
from mmae.survey.store import Survey, open_survey
from mmae.training.checkpoint import save_model
from mmae.training.step import TrainState

TRAINED = "trained.json"  # name, seed, speed and size of a run
MONITORED = 250  # validation galaxies that are scored during training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--survey", type=Path, required=True, help="folder of the survey; simulated if empty")
    parser.add_argument("--galaxies", type=int, default=20_000, help="number of galaxies to simulate")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--set", choices=SETS, default="baselines", help="set of models")
    parser.add_argument("--only", nargs="*", help="names of models of the set (default: all)")
    parser.add_argument("--minutes", type=float, default=20.0, help="training budget of a run in minutes")
    parser.add_argument("--split", default="test", help="split that is scored: test, or val for model selection")
    parser.add_argument("--jobs", type=int, default=2, help="concurrent runs, one thread each; 1 on a GPU")
    parser.add_argument("--device", default="cpu", help="torch device")
    arguments = parser.parse_args()
    survey = simulated_survey(arguments.survey.expanduser(), arguments.galaxies)
    contestants = SETS[arguments.set]()
    selected = {name: contestants[name] for name in arguments.only or contestants}
    runs = [(name, seed) for name, one in selected.items() for seed in range(one.seeds)]
    runs.sort(key=lambda run: run[1])  # the first seed of every model before further seeds
    joblib.Parallel(arguments.jobs)(
        joblib.delayed(one_run)(name, seed, selected[name], survey.path, arguments) for name, seed in runs
    )
    print(markdown(read_results([result_file(folder_of(arguments.out, *run), arguments.split) for run in runs])))


def folder_of(out: Path, name: str, seed: int) -> Path:
    return out.expanduser() / f"{name.replace(' ', '-').replace(',', '')}-{seed}"


def result_file(folder: Path, split: str) -> Path:
    """File with description and scores of a finished run: a row of the table."""
    return folder / f"{split}.json"


def one_run(name: str, seed: int, contestant: Contestant, survey_path: Path, arguments: argparse.Namespace) -> None:
    """Train and score a run, and save the results; skip what exists."""
    folder = folder_of(arguments.out, name, seed)
    if arguments.device == "cpu":
        torch.set_num_threads(1)
    device, survey = torch.device(arguments.device), open_survey(survey_path)
    if not (folder / TRAINED).exists():
        train(folder, name, seed, contestant, survey, 60 * arguments.minutes, device)
    result = result_file(folder, arguments.split)
    if not result.exists():
        description = json.loads((folder / TRAINED).read_text())
        numbers = score_run(folder, contestant, survey, arguments.split, seed, device)
        result.write_text(json.dumps(description | {"scores": numbers}, indent=1))


def train(
    folder: Path, name: str, seed: int, contestant: Contestant, survey: Survey, seconds: float, device: torch.device
) -> None:
    """Train one run and save it in its folder, `TRAINED` last.

    Args:
        seconds: training budget.
    """
    galaxies, validation = (
        contestant.prepare(load(survey, "train", contestant.config.stream.repeat_rare)),
        load(survey, "val"),
    )
    monitored = rows(validation, np.arange(min(MONITORED, len(validation))))
    started = time.time()

    def monitor(state: TrainState, spent: float) -> None:
        numbers = score(state.best_weights, monitored, device, seed)
        print(
            f"{name} {seed}: step {state.step}, {spent:.0f} s, {_first_scatter(numbers)}", file=sys.stderr, flush=True
        )

    config = replace(contestant.config, seed=seed)
    trained = train_for(seconds, config, galaxies, input_spec(survey.spec), device, monitor)
    model = trained.state.best_weights
    recalibrate(model, batches(validation, device), device, config.score.recalibration)
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder, trained.state, model, trained.config, {})
    write_training_rows(survey, folder)
    (folder / TRAINED).write_text(
        json.dumps(
            {
                "name": name,
                "seed": seed,
                "steps": trained.state.step,
                "galaxies_per_second": trained.galaxies / trained.seconds,
                "epochs": trained.galaxies / len(galaxies),
                "seconds": trained.seconds,
                "wall_seconds": time.time() - started,
                "parameters": sum(p.numel() for p in trained.state.model.parameters()),
            },
            indent=1,
        )
    )


def score_run(
    folder: Path, contestant: Contestant, survey: Survey, split: str, seed: int, device: torch.device
) -> Numbers:
    """Scores of a finished run on one split."""
    model, _ = load_model(folder, device)
    galaxies = load(survey, split)
    numbers = score(model, galaxies, device, seed) | hidden_pixels(model, galaxies, device, seed)
    if contestant.config.model.kind == "contrastive":
        numbers |= probe(model, contestant.prepare(load(survey, "train")), galaxies, device, seed)
    return numbers


def _first_scatter(numbers: Numbers) -> str:
    name = next(name for name in numbers if name.endswith("all z sigma"))
    return f"{name} {numbers[name][0]:.4f}"


if __name__ == "__main__":
    main()
