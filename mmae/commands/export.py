"""Export a trained model as a bundle: one folder, no Ray.

    python ray_jobs/export.py --run NAME --out bundle/
    python ray_jobs/export.py --run NAME --out bundle/ --license cc-by-4.0 --register mmae

A bundle needs torch, numpy and safetensors only. NAME is a run, a study or an MLflow run id.
Every pretrain writes such a folder too: `bundle` in the folder of the run.
`mmae.load("bundle/")` loads the model; docs/bundle.md says how to use it.
"""

from mmae.bundle.config import ExportConfig
from mmae.cli import parse_job


def job() -> None:
    config = parse_job(ExportConfig, __doc__)
    from mmae.bundle.export import export  # after --help and wrong options: takes seconds to import

    export(config)
