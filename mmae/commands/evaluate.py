"""Evaluate a trained model and write the report page.

    python ray_jobs/evaluate.py --run NAME
    python ray_jobs/evaluate.py --run checkpoint_folder --survey my_survey --galaxies 0
    python ray_jobs/evaluate.py --compare NAME OTHER
    python ray_jobs/evaluate.py --predictions photoz.csv
    python ray_jobs/evaluate.py --predictions photoz.parquet --truth-column zspec --predicted-column zphot

Scores redshifts, p(z), spectra, images and the representation. NAME is a run, a study or an
MLflow run id. Tables, figures and an HTML page are written to $MMAE_HOME/evaluations/NAME, in a
folder for each survey and split, and to MLflow, below the run. A split with galaxies that the
model was trained on is refused. --compare puts the stored evaluations of several runs beside
each other on one page. --predictions needs no model, only a table of true and predicted redshifts.
"""

from mmae.cli import parse_job
from mmae.evaluation.config import EvaluateConfig

COMMON = {
    "what is evaluated": ("--run", "--survey", "--split", "--compare"),
    "a file of redshifts": ("--predictions", "--truth-column", "--predicted-column"),
    "output": ("--name", "--home"),
    "extent": ("--galaxies", "--hidden-galaxies", "--surface-galaxies", "--line-galaxies", "--baseline-run", "--seed"),
}


def job() -> None:
    config = parse_job(EvaluateConfig, __doc__, common=COMMON)
    from mmae.evaluation.job import evaluate  # after --help and wrong options: takes seconds to import

    evaluate(config)
