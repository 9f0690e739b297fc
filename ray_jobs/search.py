"""Find the galaxies of a catalogue that are most similar to given ones, by their embeddings.

    python ray_jobs/search.py --catalogue catalogue --like OBJECT_ID
    python ray_jobs/search.py --catalogue catalogue --like OBJECT_ID OTHER_ID --neighbours 31 --survey my_survey

The first search builds an index in the folder of the catalogue. With --survey, the neighbours are drawn. Needs usearch:
pip install -c constraints.txt usearch
"""

from mmae.catalogue.search_config import SearchConfig
from mmae.cli import main, parse_job


def job() -> None:
    config = parse_job(SearchConfig, __doc__)
    from mmae.catalogue.search import search  # after --help and wrong options: takes seconds to import

    search(config)


if __name__ == "__main__":
    main(job)
