"""Build a survey on disk from simulated galaxies, GalaxiesML-Spectra, DESI coadds or HSC cutouts.

    python ray_jobs/build_survey.py --out sim --galaxies 6000
    python ray_jobs/build_survey.py --out gml --source galaxiesml --galaxiesml DESI_HSC_64x64_v2.hdf5
    python ray_jobs/build_survey.py --out real --source desi hsc --desi coadd-*.fits \\
        --redshifts redrock-*.fits --hsc cutouts/*.npz
"""

from mmae.cli import main, parse
from mmae.survey.job import BuildConfig, build_job

if __name__ == "__main__":
    main(lambda: build_job(parse(BuildConfig, __doc__)))
