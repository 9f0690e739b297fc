"""Search Fermi error ellipses for steep-spectrum radio sources: pulsar candidates, radio galaxies, AGN.

    python ray_jobs/steep_spectrum.py
    python ray_jobs/steep_spectrum.py --sky.pointings 20 --sky.regions-per-pointing 20
    python ray_jobs/steep_spectrum.py --radio mals_dr1.fits --regions gll_psc_v35.fit \\
        --companions tgss TGSSADR1.fits racs_low racs.csv nvss nvss.vot \\
        --optical panstarrs ps1.fits allwise wise.vot gaia_dr3 gaia.csv --pulsars psrcat.db
    python ray_jobs/steep_spectrum.py --radio gleam_kgs_157k.fits --radio-survey gleam_kgs \\
        --regions gll_psc_v35.fit

Without --radio a simulated sky is searched, and completeness and purity are measured. Tables (Parquet,
FITS, VOTable), figures and an HTML report are written to $MMAE_HOME/steepspec/NAME and logged to MLflow.
"""

from mmae.cli import main, parse_job
from mmae.steepspec.config import SearchConfig


def job() -> None:
    config = parse_job(SearchConfig, __doc__)
    from mmae.steepspec.job import search_job  # after --help and wrong options: takes seconds to import

    search_job(config)


if __name__ == "__main__":
    main(job)
