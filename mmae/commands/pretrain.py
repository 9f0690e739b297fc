"""Train a model on a survey, score it and record it in MLflow.

    python ray_jobs/pretrain.py                     # simulated survey, recipe small
    python ray_jobs/pretrain.py --survey my_survey --recipe paper --name first
    ray job submit --working-dir . -- python ray_jobs/pretrain.py

The same command with the same --name continues an interrupted run.
"""

from mmae.recipes import parse_run

COMMON = {
    "run": ("--recipe", "--survey", "--name", "--home", "--seed", "--init"),
    "training": ("--optim.steps", "--stream.batch-size", "--optim.learning-rate", "--validation.every"),
    "masks": ("--masks.image-ratio", "--masks.spectrum-ratio"),
    "model": ("--model.width", "--model.depth", "--model.modalities.image.patch", "--model.modalities.spectrum.patch"),
    "compute": ("--compute.workers", "--compute.device", "--compute.threads"),
}


def job() -> None:
    config = parse_run(__doc__, common=COMMON)
    if not (config.name and (config.home_path / "runs" / config.name).exists()):  # else it may be finished
        from mmae.core.ray_setup import start_ray

        start_ray(importing=("torch", "mlflow"))
    from mmae.training.run import pretrain  # after --help and wrong options: takes seconds to import

    pretrain(config)
