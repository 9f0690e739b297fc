"""Search hyperparameters with Optuna on Ray Tune.

    python tune/sweep.py                              # simulated survey, recipe small
    python tune/sweep.py --dry-run                    # space, budget and time estimate
    python tune/sweep.py --trials 32                  # the same study, extended
    python tune/sweep.py --name cost --budget flops --objective scatter-throughput
    python tune/sweep.py --name both --objective scatter-reconstruction
    python tune/sweep.py --name rate --space.depth 2 4 8 --space.learning-rate 5e-4 5e-3
    python ray_jobs/pretrain.py --config ~/mmae/studies/NAME/best.yaml

By default varies mask ratios, patch sizes and depth. Every trial is a run in MLflow.
The same command continues an interrupted study.
"""

from mmae.study.config import parse_study

COMMON = {
    "study": ("--name", "--trials", "--galaxies-seen", "--objective", "--dry-run"),
    "search space": (
        "--space.image-mask-ratio",
        "--space.spectrum-mask-ratio",
        "--space.image-patch",
        "--space.spectrum-patch",
        "--space.depth",
        "--space.learning-rate",
    ),
    "base run, which the space varies": ("--survey", "--home"),
    "compute": ("--concurrent", "--cpus-per-trial", "--gpus-per-trial"),
}


def job() -> None:
    config = parse_study(__doc__, common=COMMON)
    if not (config.dry_run or config.folder.exists()):  # a study that exists may be finished
        from mmae.core.ray_setup import start_ray

        start_ray(importing=("torch", "mlflow", "optuna"), dashboard=config.workers_per_trial > 1)
    from mmae.study.study import run_study  # after --help and wrong options: takes seconds to import

    run_study(config)
