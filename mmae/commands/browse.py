"""Write a page to look through the galaxies of a catalogue.

    python ray_jobs/browse.py --catalogue catalogue --survey my_survey --out browse
    python ray_jobs/browse.py --catalogue catalogue --survey my_survey --anomalous 300 --uncertain 0 --random 0

Shows images, spectra, p(z), flags and the most similar galaxies. Writes browse/index.html, one
file that needs no server and loads nothing from elsewhere: open it in a browser, sort by anomaly,
width of p(z) or redshift, filter by flags (docs/catalogue.md). Similar galaxies need usearch:
pip install -c constraints.txt usearch
"""

from mmae.catalogue.browse.config import BrowseConfig
from mmae.cli import parse_job


def job() -> None:
    config = parse_job(BrowseConfig, __doc__)
    from mmae.catalogue.browse.job import browse  # after --help and wrong options: takes seconds to import

    browse(config)
