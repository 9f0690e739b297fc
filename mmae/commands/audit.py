"""Rank the redshifts of a survey by how probably they are wrong.

    python ray_jobs/predict.py --model NAME --survey my_survey --out catalogue
    python ray_jobs/audit.py --catalogue catalogue --survey my_survey --out audit

Writes audit.parquet, audit.fits and audit.vot, and a page with image, spectrum and p(z) of the most suspicious galaxies
(docs/catalogue.md). On a simulated survey the page compares the ranking with the truth.
"""

from mmae.catalogue.audit_config import AuditConfig
from mmae.cli import parse_job


def job() -> None:
    config = parse_job(AuditConfig, __doc__)
    from mmae.catalogue.audit_job import audit  # after --help and wrong options: takes seconds to import

    audit(config)
