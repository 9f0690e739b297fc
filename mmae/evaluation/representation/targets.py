"""Targets and inputs of the probes, and the galaxies common to all inputs.

Shape suffixes: N galaxies (N training and M test ones where both occur), D dimensions, C bands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from mmae.core.errors import InputError
from mmae.evaluation.catalogue import Catalogue
from mmae.metrics.photometric_features import LEAST_TEST, LEAST_TRAINING, photoz_features

TARGET_CLASS, MORPHOLOGY = "target class", "morphological type"
MAGNITUDE_BANDS = ("i", "r")  # the first band in the survey is used: HSC is deepest in i, DESI selects in r
MAGNITUDES = "magnitudes only"


@dataclass(frozen=True)
class Targets:
    """Properties of N galaxies that probes predict from embeddings.

    Attributes:
        redshift_N: spectroscopic; NaN where unknown.
        type_N: str; "" where unknown.
        type_name: description of type_N.
        mag_NC: all magnitudes, AB; NaN where not measured.
        magnitude_N: the target magnitude; NaN where not measured.
        band: band of magnitude_N; "" if there is none.
        star_formation_N: an indicator of star formation; NaN where unknown.
        star_formation_name: name of the indicator.
    """

    redshift_N: np.ndarray
    type_N: np.ndarray
    type_name: str
    mag_NC: np.ndarray
    magnitude_N: np.ndarray
    band: str
    star_formation_N: np.ndarray
    star_formation_name: str

    def __len__(self) -> int:
        return len(self.redshift_N)

    def chosen(self, which_N: np.ndarray) -> Targets:
        """The galaxies selected by a mask or by indices."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Targets(**{k: v[which_N] if isinstance(v, np.ndarray) else v for k, v in values.items()})


@dataclass(frozen=True)
class Features:
    """Inputs of a probe for training and test galaxies; a row of NaN where a galaxy was not observed."""

    train_ND: np.ndarray
    test_MD: np.ndarray


@dataclass(frozen=True)
class Sample:
    """Galaxies that have all of `features`, so that all scores are of the same galaxies.

    Attributes:
        features: name -> inputs, embeddings first and magnitudes last.
        left_out: reasons why given embeddings are not among them.
    """

    features: dict[str, Features]
    train: Targets
    test: Targets
    left_out: tuple[str, ...] = ()


def targets_of(
    catalogue: Catalogue, star_formation_N: np.ndarray | None = None, star_formation_name: str = "star formation"
) -> Targets:
    """Targets from a survey's catalogue; the type is the target class if simulated, else the morphological type.

    Args:
        star_formation_N: a number that correlates with star formation, such as the narrow 4000 A break of
            the observed spectrum; NaN where unknown or dominated by noise.
        star_formation_name: its name, with the unit.

    Raises:
        InputError: star_formation_N does not have one value per galaxy.
    """
    n = len(catalogue)
    if star_formation_N is None:
        star_formation_N = np.full(n, np.nan)
    star_formation_N = np.asarray(star_formation_N, np.float64)
    if star_formation_N.shape != (n,):
        raise InputError(
            f"{star_formation_name}: {star_formation_N.shape} values for {n} galaxies; give one value per "
            f"galaxy of the catalogue, NaN where unknown."
        )
    simulated = bool((catalogue.kind_N != "").any())
    band = next((b for b in MAGNITUDE_BANDS if b in catalogue.bands), "")
    return Targets(
        catalogue.redshift_N,
        catalogue.kind_N if simulated else catalogue.morphtype_N,
        TARGET_CLASS if simulated else MORPHOLOGY,
        catalogue.mag_NC,
        catalogue.magnitude(band),
        band,
        star_formation_N,
        star_formation_name,
    )


def common_sample(embeddings: Mapping[str, Features], train: Targets, test: Targets) -> Sample:
    """The galaxies with embeddings in all modes, with magnitudes and colours as a further input.

    Modes with fewer than 50 training or 20 test galaxies are left out first. Impossible redshifts
    (z <= -1) become NaN.

    Raises:
        InputError: numbers of rows and galaxies differ, an embedding is partly NaN or infinite, or training and
            test galaxies have different types, bands or indicators.
    """
    for what in ("type_name", "band", "star_formation_name"):
        if getattr(train, what) != getattr(test, what):
            raise InputError(
                f"{what} is {getattr(train, what)!r} for the training and {getattr(test, what)!r} for "
                f"the test galaxies: they must be equal."
            )
    kept, left_out = {}, []
    train_N, test_M = np.ones(len(train), bool), np.ones(len(test), bool)
    for mode, features in embeddings.items():
        seen_N = _observed(features.train_ND, len(train), f"embeddings of mode {mode!r}, training")
        seen_M = _observed(features.test_MD, len(test), f"embeddings of mode {mode!r}, test")
        if seen_N.sum() < LEAST_TRAINING or seen_M.sum() < LEAST_TEST:
            left_out.append(
                f"Mode {mode}: {seen_N.sum()} training and {seen_M.sum()} test galaxies have its inputs, "
                f"{LEAST_TRAINING} and {LEAST_TEST} are needed; use a larger survey."
            )
            continue
        kept[mode] = features
        train_N, test_M = train_N & seen_N, test_M & seen_M
    chosen = {mode: Features(f.train_ND[train_N], f.test_MD[test_M]) for mode, f in kept.items()}
    train, test = (
        _without_impossible_redshifts(train.chosen(train_N)),
        _without_impossible_redshifts(test.chosen(test_M)),
    )
    chosen[MAGNITUDES] = Features(photoz_features(train.mag_NC), photoz_features(test.mag_NC))
    return Sample(chosen, train, test, tuple(left_out))


def _observed(vectors_ND: np.ndarray, n: int, where: str) -> np.ndarray:
    """Rows with an embedding: (N,) bool."""
    if vectors_ND.ndim != 2 or len(vectors_ND) != n:
        raise InputError(
            f"{where}: shape {vectors_ND.shape} for {n} galaxies; give one vector per galaxy, "
            f"all NaN where it was not observed."
        )
    finite_N = np.isfinite(vectors_ND).all(1)
    broken_N = ~finite_N & ~np.isnan(vectors_ND).all(1)
    if broken_N.any():
        raise InputError(
            f"{where}, row {int(np.argmax(broken_N))}: the vector is partly NaN or infinite; the model "
            f"overflows on this galaxy. Use full precision, or leave the galaxy out."
        )
    return finite_N


def _without_impossible_redshifts(targets: Targets) -> Targets:
    values = {f.name: getattr(targets, f.name) for f in fields(targets)}
    redshift_N = np.asarray(targets.redshift_N, np.float64)
    with np.errstate(invalid="ignore"):
        values["redshift_N"] = np.where(redshift_N > -1.0, redshift_N, np.nan)
    return Targets(**values)
