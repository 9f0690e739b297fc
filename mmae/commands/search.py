"""Find the galaxies of a catalogue most similar to given ones.

    python ray_jobs/search.py --catalogue catalogue --like OBJECT_ID OTHER_ID --survey my_survey
    python ray_jobs/search.py --catalogue catalogue --like cutout.fits --model bundle
    python ray_jobs/search.py --catalogue catalogue --like cutout.fits --model bundle --find spectra
    python ray_jobs/search.py --catalogue catalogue --like coadd.fits:39627835576420141 --model bundle --find images

--find spectra searches the spectrum of an image, --find images the image of a spectrum; both need
ray_jobs/align.py once for a model. The first search builds an index in the folder of the
catalogue. With --survey, pictures of the galaxies are written. Needs usearch: pip install -c constraints.txt usearch
"""

from mmae.catalogue.search_config import SearchConfig
from mmae.cli import parse_job


def job() -> None:
    config = parse_job(SearchConfig, __doc__)
    from mmae.catalogue.search import search  # after --help and wrong options: takes seconds to import

    search(config)
