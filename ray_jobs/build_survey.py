"""Build a survey on disk from simulated galaxies, GalaxiesML-Spectra, or DESI spectra and HSC images.

    python ray_jobs/build_survey.py --out sim --galaxies 6000 --seed 0
    python ray_jobs/build_survey.py --out sim --galaxies 6000 --seed 0 --report --reference real-data
    python ray_jobs/build_survey.py --out few --paired-fraction 0.1 --labelled-fraction 0.5 --workers 4
    python ray_jobs/build_survey.py --out gml --source galaxiesml --galaxiesml DESI_HSC_64x64_v2.hdf5
    python ray_jobs/build_survey.py --out real --source desi hsc --desi coadd-*.fits \\
        --redshifts redrock-*.fits --hsc cutouts/*.npz
    python ray_jobs/build_survey.py --out mine --source paired --pair.spectra 'coadds/**/coadd-*.fits' \\
        --pair.redshifts 'coadds/**/redrock-*.fits' --pair.patches images --pair.catalogues objects.parquet
    python ray_jobs/build_survey.py --out boss --source sdss-spec --inputs 'boss/spec-*.fits'
    python ray_jobs/build_survey.py --out pairs --source paired --pair.sources mmu-desi=mmu/desi mmu-hsc=mmu/hsc

--source sdss-spec, mmu-desi, ... are files of other surveys as they come (docs/surveys.md). --source paired matches on
the sky (docs/pairing.md); the rows of other sources are concatenated. If whole files cannot
be read, the rest is built and the exit status is 3.

--report compares simulated galaxies with published numbers and, with --reference, with real data;
for a survey that is already built, only the report is written. A killed build continues when
the same command is run again.
"""

from mmae.cli import main, parse
from mmae.ingest.config import BuildConfig


def job() -> None:
    config = parse(BuildConfig, __doc__)
    from mmae.realism.job import build_command  # after --help and wrong options: takes seconds to import

    build_command(config)


if __name__ == "__main__":
    main(job)
