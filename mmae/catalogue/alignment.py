"""How an image and a spectrum are compared: canonical variates of their fluxes, p(z), and the match probability.

The fluxes of both (mmae/catalogue/fluxes.py), as arcsinh, are projected on R pairs of canonical variates a and b with
correlations s (Hotelling 1936). If these are Gaussian, the likelihood of a given b is a function of

    |a - s b|^2 / (2 (1 - s^2))  =  |weight (a / s - b)|^2,    weight^2 = s^2 / (2 (1 - s^2)),

summed over the variates: the most probable matches of a query are nearest to weight a / s, in an index of weight b, and
the other way round. The evidence is heavy-tailed, exponent ln(1 + distance^2 / scale), plus the logarithm of the
overlap of the two p(z) (Budavari & Szalay 2008, ApJ 679, 301) with a weight of its own. All five numbers of the
calibration are fitted to pairs of the validation split as a conditional logit (McFadden 1974).

Shape suffixes: N galaxies, F fluxes of a modality (K known, U unknown), R canonical variates, Z bins of p(z),
Q queries, C candidates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.special import logsumexp

from mmae.core.errors import InputError
from mmae.core.files import file_hash, partial_path

FILE = "alignment.safetensors"  # in the folder of the model
FORMAT = "mmae-alignment-1"
FIT = "python ray_jobs/align.py"
OTHER = {"image": "spectrum", "spectrum": "image"}
CANDIDATES = 200  # nearest galaxies of a query whose p(z) are compared
LEAST_OVERLAP = 1e-3  # of two p(z), relative to that of unrelated galaxies: outliers exist


@dataclass(frozen=True)
class View:
    """The projection of the fluxes of one modality on canonical variates of unit variance.

    Attributes:
        softening_F: scale of arcsinh, in the unit of the fluxes.
        mean_F, covariance_FF: of arcsinh(flux / softening) of the training galaxies.
        weight_FR: of (arcsinh(flux / softening) - mean).
    """

    softening_F: np.ndarray
    mean_F: np.ndarray
    covariance_FF: np.ndarray
    weight_FR: np.ndarray

    def variates(self, flux_NF: np.ndarray) -> np.ndarray:
        """Canonical variates (N, R); NaN for a galaxy without any flux.

        Missing fluxes (NaN) are replaced by their expectation given the others, for a Gaussian distribution.
        """
        x_NF = np.arcsinh(flux_NF / self.softening_F) - self.mean_F
        known_NF = np.isfinite(x_NF)
        for pattern_F in np.unique(known_NF, axis=0):
            if pattern_F.all() or not pattern_F.any():
                continue
            rows_N = (known_NF == pattern_F).all(1)
            of_known_KK = self.covariance_FF[np.ix_(pattern_F, pattern_F)]
            slope_KU = np.linalg.lstsq(of_known_KK, self.covariance_FF[np.ix_(pattern_F, ~pattern_F)])[0]
            x_NF[np.ix_(rows_N, ~pattern_F)] = x_NF[np.ix_(rows_N, pattern_F)] @ slope_KU
        return x_NF @ self.weight_FR


@dataclass(frozen=True)
class Calibration:
    """The weights of the evidence in a match probability, and where they were fitted.

    Attributes:
        exponent, scale: of the evidence of the fluxes, -exponent ln(1 + distance^2 / scale).
        pz: weight of the logarithm of the overlap of two p(z); 0 for a model without p(z).
        absent, absent_exponent: evidence that a galaxy is not in the catalogue, from the distance of its fluxes from
            the mean: absent - absent_exponent ln(1 + |a|^2 / R).
        gallery: galaxies among which the validation galaxies were searched.
    """

    exponent: float
    scale: float
    pz: float
    absent: float
    absent_exponent: float
    gallery: int

    def score(self, distance2_QC: np.ndarray, overlap_QC: np.ndarray) -> np.ndarray:
        """Evidence (Q, C) that query and candidate are one galaxy.

        Args:
            overlap_QC: logarithm of the overlap of their p(z).
        """
        return self.pz * overlap_QC - self.exponent * np.log1p(distance2_QC / self.scale)

    def score_absent(self, variate_QR: np.ndarray) -> np.ndarray:
        """Evidence (Q,) that the query is another galaxy, for each galaxy of the catalogue."""
        return self.absent - self.absent_exponent * np.log1p(np.square(variate_QR).mean(1))


@dataclass(frozen=True)
class Alignment:
    """All that is needed to match images and spectra of a catalogue.

    Attributes:
        model: SHA-256 of the weights of the model that predicted p(z).
        views: of image and spectrum.
        correlation_R: of the canonical variates, in (0, 1).
        prior_Z: distribution of redshifts, for the overlap of two p(z).
    """

    model: str
    views: Mapping[str, View]
    correlation_R: np.ndarray
    prior_Z: np.ndarray
    calibration: Calibration

    @property
    def weight_R(self) -> np.ndarray:
        """Scale of the variates in the vectors."""
        square_R = np.square(self.correlation_R)
        return np.sqrt(square_R / (2 * (1 - square_R)))

    def vectors(self, variate_NR: np.ndarray) -> np.ndarray:
        """Vectors (N, R) of galaxies that are searched."""
        return self.weight_R * variate_NR

    def query_vectors(self, variate_QR: np.ndarray) -> np.ndarray:
        """Vectors (Q, R) of queries: their matches of the other modality are near."""
        return self.weight_R / self.correlation_R * variate_QR

    def overlaps(self, pz_QZ: np.ndarray, pz_QCZ: np.ndarray) -> np.ndarray:
        """Logarithm (Q, C) of the overlap of the p(z) of queries and candidates, relative to unrelated galaxies."""
        overlap_QC = np.einsum("qz,qcz->qc", pz_QZ / self.prior_Z, pz_QCZ)
        return np.log(overlap_QC + LEAST_OVERLAP)

    def probabilities(
        self, score_QC: np.ndarray, variate_QR: np.ndarray, gallery: int, expected: float = 1.0
    ) -> np.ndarray:
        """Probability (Q, C) that each candidate is the query's galaxy.

        Args:
            score_QC: of the most probable candidates.
            variate_QR: of the queries.
            gallery: galaxies that were searched.
            expected: probability, before the search, that the galaxy is among them; in (0, 1].
        """
        with np.errstate(divide="ignore"):  # ln 0 = -inf: it is among them
            odds = np.log1p(-expected) - np.log(expected)
        absent_Q = np.log(gallery) + odds + self.calibration.score_absent(variate_QR)
        total_Q = np.logaddexp(logsumexp(score_QC, axis=1), absent_Q)
        return np.exp(score_QC - total_Q[:, None])


def save_alignment(alignment: Alignment, folder: Path) -> Path:
    """Write the alignment into the folder of its model, whole or not at all."""
    tensors = {"correlation": alignment.correlation_R, "prior": alignment.prior_Z}
    for name, view in alignment.views.items():
        tensors |= {f"{name}.{key}": value for key, value in vars(view).items()}
    about = {"format": FORMAT, "model": alignment.model, "calibration": json.dumps(asdict(alignment.calibration))}
    unfinished = partial_path(folder / FILE)
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, unfinished, about)
    return unfinished.rename(folder / FILE)


def load_alignment(folder: Path, model: str) -> tuple[Alignment, str]:
    """The alignment in the folder of a model, and the hash of its file.

    Args:
        model: SHA-256 of the weights with which the catalogue was predicted.

    Raises:
        InputError: there is none, it is damaged, or of another model.
    """
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"{path}: is missing. Fit it with  {FIT} --model {folder} --survey SURVEY")
    try:
        with safe_open(path, "numpy") as file:
            about = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        if about.get("format") != FORMAT:
            raise ValueError(f"not of the format {FORMAT}")
        views = {name: View(*(tensors[f"{name}.{key}"] for key in View.__dataclass_fields__)) for name in sorted(OTHER)}
        calibration = Calibration(**json.loads(about["calibration"]))
        found = Alignment(about["model"], views, tensors["correlation"], tensors["prior"], calibration)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Fit it again with {FIT}.") from error
    if found.model != model:
        raise InputError(f"{path}: is of another model than the catalogue. Give --model of the catalogue.")
    return found, file_hash(path)
