"""Whether a survey covers a position, inferred from its sources: only there is a non-detection a limit.

Shape suffixes: N positions, M sources of the survey, K neighbours.
"""

from __future__ import annotations

import erfa
import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from mmae.astro.crossmatch import position_angle

# A position well inside a survey is outside the hull of its 12 nearest sources by chance in 0.6% of cases.
NEIGHBOURS = 12
# Above this ratio of the neighbour distance to its median the position is in a hole or a much shallower area.
SPARSE = 2.0


def surroundings(
    ra: ArrayLike, dec: ArrayLike, survey_ra: ArrayLike, survey_dec: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Whether the survey covers each position, and its nearest sources.

    A position is covered if it is inside the convex hull of the 12 nearest survey sources (their position
    angles leave no gap of 180 degrees, as they do beyond an edge), and if the 12th is at most `SPARSE`
    times farther than the median for the survey's own sources. Positions near an edge may be missed.

    Args:
        ra, dec: (N,) ICRS degrees.
        survey_ra, survey_dec: (M,) ICRS degrees of the survey's sources.

    Returns:
        (N,) bool, and (N, 12) rows of the nearest sources; (N, 0) if the survey has too few.
    """
    ra, dec, survey_ra, survey_dec = (np.asarray(x, np.float64) for x in (ra, dec, survey_ra, survey_dec))
    if len(survey_ra) <= NEIGHBOURS or not len(ra):
        return np.zeros(len(ra), bool), np.zeros((len(ra), 0), int)
    tree = cKDTree(_xyz(survey_ra, survey_dec))
    distance_NK, row_NK = tree.query(_xyz(ra, dec), k=NEIGHBOURS)
    own_MK, _ = tree.query(tree.data, k=NEIGHBOURS + 1)  # the first of these is the source itself
    near_N = distance_NK[:, -1] <= SPARSE * np.median(own_MK[:, -1])
    angle_NK = np.sort(
        position_angle(
            np.repeat(ra, NEIGHBOURS), np.repeat(dec, NEIGHBOURS), survey_ra[row_NK.ravel()], survey_dec[row_NK.ravel()]
        ).reshape(row_NK.shape)
        % 360,
        axis=1,
    )
    gap_NK = np.diff(angle_NK, axis=1, append=angle_NK[:, :1] + 360)
    return near_N & (gap_NK.max(axis=1) < 180), row_NK


def _xyz(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    return erfa.s2c(np.radians(ra), np.radians(dec))
