"""Line list: rest-frame vacuum wavelengths in Angstrom, and doublet ratios.

Shape suffixes: E the lines of LINE_NAMES, J single transitions.
"""

from __future__ import annotations

import numpy as np

LIGHT_SPEED_KMS = 299792.458

LINE_NAMES = ("oii_doublet", "hbeta", "oiii_5007", "halpha", "nii_6584", "sii_6716")
OII, HBETA, OIII, HALPHA, NII, SII = range(6)

# NIST.
OII_BLUE, OII_RED, NEIII = 3727.09, 3729.88, 3869.86
HDELTA, HGAMMA, HBETA_WAVE, OIII_BLUE, OIII_RED = 4102.89, 4341.69, 4862.69, 4960.30, 5008.24
NII_BLUE, HALPHA_WAVE, NII_RED = 6549.86, 6564.61, 6585.27
SII_BLUE, SII_RED = 6718.29, 6732.67
WIDTH_WAVELENGTH_E = np.array([0.5 * (OII_BLUE + OII_RED), HBETA_WAVE, OIII_RED, HALPHA_WAVE, NII_RED, SII_BLUE])
LINE_WAVELENGTH_J = np.array(
    [
        OII_BLUE,
        OII_RED,
        HDELTA,
        HGAMMA,
        HBETA_WAVE,
        OIII_BLUE,
        OIII_RED,
        NII_BLUE,
        HALPHA_WAVE,
        NII_RED,
        SII_BLUE,
        SII_RED,
    ]
)

# [O II] at low density 1 : 1.35; [O III] 1 : 2.98 and [N II] 1 : 3.05 (Storey & Zeippen 2000);
# [S II] 6716 / 6731 = 1.4, low density (Osterbrock & Ferland 2006, figure 5.8).
OII_RATIO, OIII_RATIO, NII_RATIO, SII_RATIO = 1.35, 2.98, 3.05, 1.4

# Laboratory wavelengths of Vanden Berk+2001, table 2; mean wavelength for blends.
LYMAN_ALPHA, CIV, CIII, MGII = 1215.67, 1549.06, 1908.73, 2798.75
# Absorption features of old stars (NIST): Ca K and H; Mg b and Na D at the mean wavelength of the blend.
CA_K, CA_H, MG_B, NA_D = 3934.78, 3969.59, 5176.0, 5894.6
