"""Apply a trained model to a survey and write a catalogue.

    python ray_jobs/predict.py --model NAME --survey my_survey --out catalogue
    python ray_jobs/predict.py --model bundle --survey my_survey --out catalogue --use image
    python ray_jobs/predict.py --model bundle --survey 'tiles/*.parquet' --out catalogue --piece-rows 65536

The catalogue has redshifts, p(z), embeddings and anomaly scores, in the HATS format, which lsdb
opens (docs/catalogue.md). A killed job continues when the same command is run again, and gives
the same bytes as an uninterrupted one. Rows that cannot be used are listed in rejected.parquet.
"""

from mmae.catalogue.config import PredictConfig
from mmae.cli import parse_job


def job() -> None:
    config = parse_job(PredictConfig, __doc__)
    from mmae.catalogue.job import predict_job  # after --help and wrong options: takes seconds to import

    predict_job(config)
