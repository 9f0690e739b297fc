"""Choose the galaxies whose spectra would improve a model most.

    python ray_jobs/predict.py --model NAME --survey my_survey --use image --out catalogue
    python ray_jobs/follow_up.py --catalogue catalogue --survey my_survey --n 500 --out targets

Writes targets.fits, targets.vot and targets.parquet with a reason for each target, and a page (docs/catalogue.md).
"""

from mmae.catalogue.follow_up_config import FollowUpConfig
from mmae.cli import parse_job


def job() -> None:
    config = parse_job(FollowUpConfig, __doc__)
    from mmae.catalogue.follow_up_job import follow_up  # after --help and wrong options: takes seconds to import

    follow_up(config)
