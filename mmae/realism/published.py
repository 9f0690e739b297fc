"""Published reference values of a simulated survey, and tolerances.

GalaxiesML-Spectra: Zenodo record 16989593; statistics of the pixels of its 134,533 images of 64 x 64 pixels and of
the redshifts of its test set (DESIGN.md, section 1).
"""

from __future__ import annotations

from dataclasses import dataclass

GALAXIESML = "GalaxiesML-Spectra (Zenodo 16989593)"
GALAXIESML_SIZE = 64  # pixels: a larger image has more sky and a different mean

# Counts at zero point 27.0 mag, over all pixels of all images.
PIXEL_MEAN = {"g": 0.2851, "r": 0.6045, "i": 0.9089, "z": 1.1676, "y": 1.3929}
PIXEL_SD = {"g": 1.1039, "r": 2.1952, "i": 3.5377, "z": 4.3867, "y": 5.0706}
BAND_NOISE = {"g": 0.0212, "r": 0.0352, "i": 0.0369, "z": 0.0688, "y": 0.1367}
# Of arcsinh(pixel / BAND_NOISE).
ARCSINH_MEAN = {"g": 1.6004, "r": 1.8535, "i": 2.0918, "z": 1.8240, "y": 1.5074}
ARCSINH_SD = {"g": 1.8264, "r": 1.8293, "i": 1.9493, "z": 1.8944, "y": 1.7909}
PIXEL_TOLERANCE = 0.25

# Percentiles of the redshifts of the test set.
REDSHIFT_PERCENTILES = {0: 0.000, 5: 0.075, 25: 0.162, 50: 0.338, 75: 0.611, 95: 2.320, 99: 3.054, 100: 3.972}
REDSHIFT_TOLERANCE = 0.15
BELOW_04, ABOVE_15 = 0.55, 0.11  # fractions at z < 0.4 and z > 1.5
PSF_SHARE = 0.16  # MORPHTYPE PSF, or z <= 0
SHARE_TOLERANCE = 0.25


@dataclass(frozen=True)
class PhotozRange:
    """Accuracy of the photometric redshifts of a survey."""

    sigma_nmad: tuple[float, float]
    outlier_rate: tuple[float, float]  # |dz| > 0.15
    source: str


# Galaxies of HSC-SSP in grizy at 0.2 < z < 1.5, i < 24 and brighter (at i < 25 about 15% outliers).
HSC_PHOTOZ = PhotozRange((0.03, 0.05), (0.02, 0.08), "Tanaka+2018 (PASJ 70, S9); Nishizawa+2020 (arXiv:2003.01511)")
PHOTOZ_MAX_REDSHIFT = 1.5
