"""Build a survey: simulated galaxies, or files of surveys.

    python ray_jobs/build_survey.py --out sim --galaxies 6000 --seed 0
    python ray_jobs/build_survey.py --out sim --galaxies 6000 --report --reference real-data
    python ray_jobs/build_survey.py --out few --paired-fraction 0.1 --labelled-fraction 0.5 --workers 4
    python ray_jobs/build_survey.py --out gml --source galaxiesml --galaxiesml DESI_HSC_64x64_v2.hdf5
    python ray_jobs/build_survey.py --out real --source desi hsc --desi coadd-*.fits \\
        --redshifts redrock-*.fits --hsc cutouts/*.npz
    python ray_jobs/build_survey.py --out mine --source paired --pair.spectra 'coadds/**/coadd-*.fits' \\
        --pair.redshifts 'coadds/**/redrock-*.fits' --pair.patches images \\
        --pair.catalogues objects.parquet
    python ray_jobs/build_survey.py --out boss --source sdss-spec --inputs 'boss/*.fits'
    python ray_jobs/build_survey.py --out pairs --source paired \\
        --pair.sources mmu-desi=mmu/desi mmu-hsc=mmu/hsc

--source sdss-spec, mmu-desi, ... read files of other surveys
(docs/surveys.md). --source paired matches on the sky (docs/pairing.md). If whole
files cannot be read, the rest is built and the exit status is 3. A killed build
continues when the same command is run again.
"""

from mmae.cli import parse
from mmae.ingest.config import BuildConfig

COMMON = {
    "survey": ("--out", "--source", "--inputs", "--split.fractions", "--workers"),
    "simulated galaxies": ("--galaxies", "--seed", "--paired-fraction", "--labelled-fraction"),
    "matched on the sky, with --source paired": (
        "--pair.spectra",
        "--pair.redshifts",
        "--pair.patches",
        "--pair.catalogues",
        "--pair.sources",
    ),
    "comparison with real data": ("--report", "--reference"),
}


def job() -> None:
    config = parse(BuildConfig, __doc__, common=COMMON)
    from mmae.realism.job import build_command  # after --help and wrong options: takes seconds to import

    build_command(config)
