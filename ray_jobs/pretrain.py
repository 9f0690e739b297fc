"""Train an MMAE on a survey, score it on the test split, record everything in MLflow.

python ray_jobs/pretrain.py                                # embedded survey, recipe small
ray job submit --working-dir . -- python ray_jobs/pretrain.py
python ray_jobs/pretrain.py --survey my_survey --recipe paper --name first
"""

from mmae.cli import main
from mmae.recipes import parse_run


def job() -> None:
    config = parse_run(__doc__)
    if not (config.name and (config.home_path / "runs" / config.name).exists()):  # else it may be finished
        from mmae.core.ray_setup import start_ray

        start_ray(importing=("torch", "mlflow"))
    from mmae.training.run import pretrain  # after --help and wrong options: takes seconds to import

    pretrain(config)


if __name__ == "__main__":
    main(job)
