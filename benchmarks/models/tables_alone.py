"""Redshifts from real catalogues alone: recipe `magnitudes` against gradient boosting and nearest neighbours.

    python -m benchmarks.models.tables_alone --out ~/mmae/tables

Without Ray, one thread: SDSS galaxies and quasars (50,000 rows, ugriz) and zCOSMOS-bright galaxies (secure redshifts,
nine bands with errors) from the folder --data become surveys; the recipe is trained on each training split, p(z) is
recalibrated on the validation split, and the test split is scored once (--split val for tuning). Finished runs are
kept. A data set that is not there is skipped with the reason. A run takes one to two minutes.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import torch

from benchmarks.models.runner import order
from benchmarks.models.score import batches, read
from benchmarks.models.survey import load, rows
from mmae.core.tasks import in_processes
from mmae.evaluation.catalogue import read_catalogue
from mmae.evaluation.photoz.table_baselines import predict_from_magnitudes
from mmae.inference.recalibrate import recalibrate
from mmae.ingest.build import build_survey
from mmae.ingest.pairing.config import PairConfig
from mmae.ingest.pairing.source import paired_source
from mmae.loader.collate import input_spec
from mmae.metrics.redshift import scatter_difference, score_redshift
from mmae.model.build import Model
from mmae.realism.reference import secure_galaxy
from mmae.recipes import recipe
from mmae.report.contents import Measured, cell_text
from mmae.survey.store import MANIFEST, Survey, open_survey
from mmae.training.step import create_state, training_step

DATA = Path(__file__).parents[3] / "shared/data/galaxies"
MODEL = "magnitudes"
ROWS_PER_CELL = 5000
RESAMPLES = 500
CPU = torch.device("cpu")


@dataclass(frozen=True)
class DataSet:
    """A file of the data folder, its conversion to a table, and the description of that table."""

    file: str
    read: Callable[[Path], pa.Table]
    description: str


def sdss(path: Path) -> pa.Table:
    """The rows of the array, with their number as id; it has no positions."""
    values = np.load(path, allow_pickle=False)
    columns = {name: values[name] for name in (*"ugriz", "redshift", "redshift_err")}
    return pa.table({"object_id": [f"sdss-{row}" for row in range(len(values))], **columns})


def zcosmos(path: Path) -> pa.Table:
    """Galaxies with a secure redshift; the reader of surveys finds -99 and -99.9."""
    table = pyarrow.csv.read_csv(path)
    secure_N = secure_galaxy(*(table[name].to_numpy() for name in ("cc", "zpec")))
    return table.filter(pa.array(secure_N))


ZCOSMOS_BANDS = {"u": "u", "b": "b", "v": "v", "g": "g", "r": "r", "i": "ic", "z": "z", "j": "j", "k": "k"}


def _named(prefix: str) -> str:
    return ", ".join(f"{band}: {prefix}{name}_photzi25" for band, name in ZCOSMOS_BANDS.items())


DATA_SETS = {
    "SDSS": DataSet(
        "sdss_colours_redshifts.npy",
        sdss,
        "catalogue: {ra: '', dec: '', redshift: redshift, redshift_err: redshift_err, "
        "magnitudes: {u: u, g: g, r: r, i: i, z: z}}",
    ),
    "zCOSMOS": DataSet(
        "zcosmos_bright.csv",
        zcosmos,
        "catalogue: {object_id: id_zcosmos, ra: alpha, dec: delta, redshift: zpec, "
        f"magnitudes: {{{_named('')}}}, magnitude_errors: {{{_named('e')}}}}}",
    ),
}


def survey_of(data: DataSet, source: Path, folder: Path) -> Survey:
    """The survey in the folder, built if it does not exist."""
    if (folder / MANIFEST).exists():
        return open_survey(folder)
    inputs = folder.with_name(f"{folder.name}-input")
    inputs.mkdir(parents=True, exist_ok=True)
    pq.write_table(data.read(source / data.file), inputs / "table.parquet")
    (inputs / "description.yaml").write_text(data.description)
    config = PairConfig(
        catalogues=(str(inputs / "table.parquet"),),
        description=inputs / "description.yaml",
        rows_per_cell=ROWS_PER_CELL,
    )
    return build_survey([paired_source(config, folder, run=in_processes)], folder, run=in_processes)


def train(survey: Survey, seed: int) -> Model:
    """The recipe's model after all steps of the recipe, with recalibrated p(z)."""
    config = replace(recipe(MODEL), seed=seed)
    galaxies = load(survey, "train")
    state = create_state(config, input_spec(survey.spec), CPU)
    for which_N in order(galaxies, config):
        state.model.train()
        training_step(state, rows(galaxies, which_N), config)
        if state.step == config.optim.steps:
            break
    model = state.best_weights
    recalibrate(model, batches(load(survey, "val"), CPU), CPU, config.score.recalibration)
    return model


def predictions(survey: Survey, split: str, seed: int) -> dict[str, list[float]]:
    """Method -> redshifts of the galaxies of the split in the order of its files; "true": spectroscopic."""
    train_catalogue, catalogue = read_catalogue(survey, "train"), read_catalogue(survey, split)
    model = train(survey, seed)
    found = predict_from_magnitudes(train_catalogue.mag_NC, train_catalogue.redshift_N, catalogue.mag_NC, seed=seed)
    found |= {MODEL: read(model, load(survey, split), CPU)[MODEL]["redshift"], "true": catalogue.redshift_N}
    return {method: np.asarray(redshift_N, float).tolist() for method, redshift_N in found.items()}


def report(name: str, runs: list[dict[str, list[float]]]) -> list[str]:
    """Rows of the table: mean over seeds; errors from the bootstrap and the scatter of the seeds in quadrature."""
    lines = []
    for method in (MODEL, *(m for m in runs[0] if m not in (MODEL, "true"))):
        found = [_scores(run, method, seed) for seed, run in enumerate(runs)]
        cells = [cell_text(_mean([scores[k] for scores in found])) for k in range(3)]
        if method == MODEL:
            cells[1] = ""
        lines.append(f"| {name} | {method} | {len(runs[0]['true']):,} | {' | '.join(cells)} |")
    return lines


def _scores(run: dict[str, list[float]], method: str, seed: int) -> list[tuple[float, float]]:
    """sigma_NMAD, model minus this method, and outliers in percent, each with its error."""
    z_N, mine_N, other_N = (np.array(run[key]) for key in ("true", MODEL, method))
    scores = score_redshift(z_N, other_N, seed=seed, resamples=RESAMPLES)
    gain = scatter_difference(z_N, mine_N, other_N, seed=seed, resamples=RESAMPLES)
    sigma, outliers = scores["sigma_nmad"], scores["outlier_rate"]
    return [(sigma.value, sigma.error), (gain.value, gain.error), (100 * outliers.value, 100 * outliers.error)]


def _mean(values: list[tuple[float, float]]) -> Measured:
    value_S, error_S = np.array(values).T
    among_seeds = value_S.std(ddof=1) / math.sqrt(len(value_S)) if len(value_S) > 1 else 0.0
    return Measured(float(value_S.mean()), math.hypot(error_S.mean(), among_seeds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the surveys and runs")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real tables")
    parser.add_argument("--only", nargs="*", choices=DATA_SETS, default=list(DATA_SETS), help="data sets")
    parser.add_argument("--seeds", type=int, default=3, help="number of runs of each data set")
    parser.add_argument("--split", default="test", help="split that is scored: test, or val for tuning")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    out = arguments.out.expanduser()
    lines = [
        "| table | redshift from | galaxies | sigma_NMAD | magnitudes - this | outliers [%] |",
        "|---|---|---|---|---|---|",
    ]
    for name in arguments.only:
        data = DATA_SETS[name]
        if not (arguments.data / data.file).exists():
            print(f"{name}: skipped, {arguments.data / data.file} does not exist")
            continue
        survey = survey_of(data, arguments.data, out / name)
        runs = []
        for seed in range(arguments.seeds):
            file = out / f"{name}-{arguments.split}-{seed}.json"
            if not file.exists():
                file.write_text(json.dumps(predictions(survey, arguments.split, seed)))
            runs.append(json.loads(file.read_text()))
        lines += report(name, runs)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
