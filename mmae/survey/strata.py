"""Fractions of rare kinds of galaxy (point sources, high redshifts) in each split.

The splits consist of whole sky cells, so they cannot be stratified; the fractions are measured and reported instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from mmae.survey.schema import SPLITS

HIGH_REDSHIFT = 1.5  # of these samples, nearly all objects beyond are quasars
POINT_SOURCE = "PSF"  # Tractor's type
STRATA = {"PSF": ("psf", "morphtypes"), f"z > {HIGH_REDSHIFT}": ("high_redshifts", "redshifts")}
"""Name -> names of the counts: members, and galaxies with known membership."""
MOST_SIGMA = 4.0  # six comparisons: exceeded by chance in one of 2,600 surveys


@dataclass(frozen=True)
class Share:
    """The fraction of the galaxies of a split that belongs to a stratum.

    Attributes:
        value, error: fraction and its binomial error; NaN if membership is known for no galaxy.
        sigmas: difference from the fraction in the other splits, in units of its error.
    """

    stratum: str
    split: str
    value: float
    error: float
    sigmas: float


def count_strata(table: pa.Table) -> dict[str, int]:
    """The counts of `STRATA` in rows of a survey, except `redshifts`, which is counted with the modalities."""
    return {
        "morphtypes": len(table) - table["morphtype"].null_count,
        "psf": _number(pc.equal(table["morphtype"], POINT_SOURCE)),
        "high_redshifts": _number(pc.greater(table["redshift"], HIGH_REDSHIFT)),
    }


def _number(true: pa.ChunkedArray) -> int:
    return pc.sum(true).as_py() or 0  # the sum of no rows is null


def shares(counts: Mapping[str, Mapping[str, float]]) -> list[Share]:
    """The share of every stratum in every split, from the counts in a survey's manifest.

    A split is compared with the union of the two others by the z test of two proportions with
    pooled variance. Galaxies of one cell share a split, so the errors of a population
    that clusters within 7 arcmin are somewhat larger than binomial.
    """
    return [_share(stratum, split, counts) for stratum in STRATA for split in SPLITS]


def _share(stratum: str, split: str, counts: Mapping[str, Mapping[str, float]]) -> Share:
    members, known = STRATA[stratum]
    here, of = counts[split][members], counts[split][known]
    there, of_there = (sum(counts[s][key] for s in SPLITS if s != split) for key in (members, known))
    if not of:
        return Share(stratum, split, math.nan, math.nan, 0.0)
    value = here / of
    error = math.sqrt(value * (1 - value) / of)
    if not of_there:
        return Share(stratum, split, value, error, 0.0)
    pooled = (here + there) / (of + of_there)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / of + 1 / of_there))
    return Share(stratum, split, value, error, (value - there / of_there) / spread if spread else 0.0)
