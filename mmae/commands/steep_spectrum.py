"""Search Fermi error ellipses for steep-spectrum radio sources.

    python ray_jobs/steep_spectrum.py
    python ray_jobs/steep_spectrum.py --sky.pointings 20 --sky.regions-per-pointing 20
    python ray_jobs/steep_spectrum.py --radio mals_dr1.fits --regions gll_psc_v35.fit \\
        --companions tgss TGSSADR1.fits racs_low racs.csv nvss nvss.vot \\
        --optical panstarrs ps1.fits allwise wise.vot gaia_dr3 gaia.csv --pulsars psrcat.db
    python ray_jobs/steep_spectrum.py --radio gleam_kgs_157k.fits --radio-survey gleam_kgs \\
        --regions gll_psc_v35.fit

Finds pulsar candidates, radio galaxies and AGN. Without --radio a simulated sky is searched, and
completeness and purity are measured. Tables (Parquet, FITS, VOTable), figures and an HTML report
are written to $MMAE_HOME/steepspec/NAME and logged to MLflow.
"""

from mmae.cli import parse_job
from mmae.steepspec.config import SearchConfig

COMMON = {
    "files": (
        "--radio",
        "--radio-survey",
        "--regions",
        "--companions",
        "--optical",
        "--pulsars",
        "--known",
        "--later-regions",
    ),
    "output": ("--name", "--home", "--charts"),
    "search": ("--include-unknown", "--shifts", "--known-radius-arcsec", "--sed.steep-alpha", "--sources.min-snr"),
    "simulated sky, without --radio": ("--sky.pointings", "--sky.regions-per-pointing", "--sky.seed"),
    "compute": ("--ray",),
}


def job() -> None:
    config = parse_job(SearchConfig, __doc__, common=COMMON)
    from mmae.steepspec.job import search_job  # after --help and wrong options: takes seconds to import

    search_job(config)
