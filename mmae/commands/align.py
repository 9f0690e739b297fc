"""Fit how images and spectra are compared in searches.

    python ray_jobs/align.py --model bundle --survey my_survey
    python ray_jobs/search.py --catalogue catalogue --like cutout.fits --model bundle --find spectra

Done once for a model; takes a minute. Writes alignment.safetensors into the folder of the model.
"""

from mmae.catalogue.align_config import AlignConfig
from mmae.cli import parse_job


def job() -> None:
    config = parse_job(AlignConfig, __doc__)
    from mmae.catalogue.align_job import align  # after --help and wrong options: takes seconds to import

    align(config)
