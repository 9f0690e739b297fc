"""Fine-tune a bundle on another survey of which few galaxies have a redshift, and compare with training from scratch.

    python ray_jobs/pretrain.py --name first          # writes the bundle runs/first/bundle in the home folder
    python -m benchmarks.models.finetune --init ~/mmae/runs/first/bundle --survey ~/mmae/surveys/other \\
        --out ~/mmae/finetune --minutes 5

The other survey (20,000 galaxies, simulated if it does not exist) has another seed, the bands g, r and z, and images
twice as noisy. Of its training galaxies all but LABELS lose their redshift; images and spectra stay. From the bundle
are taken all weights but those of the image tokens and image heads, because the bands differ. Every model has the same
galaxies, the same CPU time and SEEDS seeds; p(z) of all is recalibrated on the validation split with all its redshifts.
The table has the mean of the seeds and its error.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import torch

import mmae
from benchmarks.models.compare import folder_of, one_run, result_file
from benchmarks.models.contestants import Contestant
from mmae.config import RunConfig
from mmae.core.tasks import in_processes
from mmae.ingest.build import build_survey
from mmae.model.batch import Batch
from mmae.recipes import recipe
from mmae.simulation.config import SimulationConfig
from mmae.simulation.source import simulation_source
from mmae.survey.schema import SurveySpec
from mmae.survey.store import MANIFEST, Survey, open_survey

LABELS, LABEL_SEED = 0.05, 11
SEEDS = 3
SURVEY_SEED, BANDS, NOISE = 1, ("g", "r", "z"), 2.0
SPLIT = "test"
SHOWN = ("image all z sigma", "image all z outliers", "both all z sigma")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--init", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--survey", type=Path, required=True, help="folder of the other survey; simulated if empty")
    parser.add_argument("--galaxies", type=int, default=20_000, help="number of galaxies to simulate")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--minutes", type=float, default=5.0, help="training budget of a run in minutes")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each kind")
    parser.add_argument("--jobs", type=int, default=2, help="concurrent runs, one thread each; 1 on a GPU")
    parser.add_argument("--device", default="cpu", help="torch device")
    arguments = parser.parse_args()
    arguments.split = SPLIT
    survey = other_survey(arguments.survey.expanduser(), arguments.galaxies)
    kinds = contestants(arguments.init.expanduser(), arguments.seeds)
    runs = [(name, seed) for seed in range(arguments.seeds) for name in kinds]
    joblib.Parallel(arguments.jobs)(
        joblib.delayed(one_run)(name, seed, kinds[name], survey.path, arguments) for name, seed in runs
    )
    print(table(arguments.out, list(kinds), arguments.seeds))


def other_survey(folder: Path, galaxies: int) -> Survey:
    """The survey in the folder, simulated on all CPUs of this machine if it does not exist."""
    if (folder / MANIFEST).exists():
        return open_survey(folder)
    whole = SurveySpec()
    chosen = [whole.bands.index(band) for band in BANDS]
    constants = {
        name: tuple(getattr(whole, name)[i] for i in chosen) for name in ("arcsinh_mean", "arcsinh_std", "band_noise")
    }
    noise = tuple(NOISE * sigma for sigma in constants.pop("band_noise"))
    spec = replace(whole, bands=BANDS, band_noise=noise, **constants)
    source = simulation_source(SimulationConfig(galaxies=galaxies, seed=SURVEY_SEED), spec)
    return build_survey([source], folder, run=in_processes)


def contestants(init: Path, seeds: int) -> dict[str, Contestant]:
    """Runs from scratch and from the bundle, with the model of the bundle."""
    model = mmae.load(init).description.model
    base = recipe("small")
    scratch = replace(base, model=model, stream=replace(base.stream, unlabelled=LABELS / (1 - LABELS)))
    tuned: RunConfig = replace(scratch, init=str(init))
    configs = {
        "from scratch": scratch,
        "fine-tuned": tuned,
        "fine-tuned, encoder frozen": replace(tuned, freeze="encoder"),
    }
    return {name: Contestant(config, seeds, few_labels) for name, config in configs.items()}


def few_labels(train: Batch) -> Batch:
    """The training split with the redshifts of LABELS of its galaxies only."""
    labelled_N = torch.from_numpy(np.random.default_rng(LABEL_SEED).random(len(train)) < LABELS)
    return replace(
        train,
        redshift_B=train.redshift_B.masked_fill(~labelled_N, 0.0),
        redshift_known_B=train.redshift_known_B & labelled_N,
    )


def table(out: Path, names: list[str], seeds: int) -> str:
    """Mean over the seeds and its error of the scores in SHOWN, as a Markdown table."""
    lines = [f"| {' | '.join(['model', *SHOWN])} |", f"|---{'|---' * len(SHOWN)}|"]
    for name in names:
        files = [result_file(folder_of(out, name, seed), SPLIT) for seed in range(seeds)]
        scores = [json.loads(file.read_text())["scores"] for file in files]
        lines.append(f"| {' | '.join([name, *(_mean([s[shown][0] for s in scores]) for shown in SHOWN)])} |")
    return "\n".join(lines)


def _mean(values: list[float]) -> str:
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.4f}"
    return f"{mean:.4f} ± {statistics.stdev(values) / math.sqrt(len(values)):.4f}"


if __name__ == "__main__":
    main()
