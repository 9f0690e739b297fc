"""Scores of a trained model on galaxies not used in training: the numbers of one row of the table."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.models.survey import rows
from mmae.evaluation.hidden.normalised import mean_of, normalise
from mmae.evaluation.hidden.parts import observed_images
from mmae.evaluation.representation.probes import PROBES, predict_redshift
from mmae.inference.readings import redshift_edges
from mmae.metrics.pz_calibration import calibrate, randomised_pit
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.metrics.pz_scores import CRPS, crps, mean_scores
from mmae.metrics.redshift import ALL_Z, LOW_Z, score_redshift, selection
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.model.masking import fixed_visible, modes_of
from mmae.model.mmae import MMAE
from mmae.model.paper import PaperMMAE

BATCH = 128
RESAMPLES = 500
HIDDEN = 0.75  # fraction of the image, and of the spectrum, that is hidden and reconstructed

Numbers = dict[str, tuple[float, float]]
"""Name of a score -> value and half of its 68% interval."""


def batches(galaxies: Batch, device: torch.device) -> Iterator[Batch]:
    for start in range(0, len(galaxies), BATCH):
        yield rows(galaxies, np.arange(start, min(start + BATCH, len(galaxies)))).to(device)


@torch.no_grad()
def read(model: Model, galaxies: Batch, device: torch.device) -> dict[str, dict[str, np.ndarray]]:
    """Redshift, p(z) and embedding of every galaxy, by input mode."""
    model.eval()
    parts: dict[str, list[dict[str, np.ndarray]]] = {}
    for batch in batches(galaxies, device):
        for mode, shown in modes_of(model.n_tokens).items():
            (reading,) = model.read(batch, [fixed_visible(batch, model.n_tokens, shown)])
            part = {"redshift": reading.redshift_B, "embedding": reading.embedding_BD}
            if reading.probability_BK is not None:
                part["probability"] = reading.probability_BK
            parts.setdefault(mode, []).append({name: value.float().cpu().numpy() for name, value in part.items()})
    return {
        mode: {name: np.concatenate([part[name] for part in these]) for name in these[0]}
        for mode, these in parts.items()
    }


def score(model: Model, galaxies: Batch, device: torch.device, seed: int) -> Numbers:
    """Scatter, outliers and bias by input mode and redshift range; CRPS and calibration of p(z).

    Galaxies that lack a modality of the mode, or a redshift, are left out.
    """
    z_N = galaxies.redshift_B.double().numpy()
    numbers: Numbers = {}
    for mode, found in read(model, galaxies, device).items():
        shown = modes_of(model.n_tokens)[mode]
        usable_N = torch.stack([galaxies.present[name] for name in shown]).all(0) & galaxies.redshift_known_B
        for where in (LOW_Z, ALL_Z):
            in_N = usable_N.numpy() & selection(z_N, where)
            numbers |= _point(f"{mode} {where}", z_N[in_N], found["redshift"][in_N], seed)
        if "probability" in found:
            pdf = RedshiftPDF(redshift_edges(model), found["probability"][in_N])
            of_pdf = mean_scores({CRPS: crps(pdf, z_N[in_N])}, seed=seed, resamples=RESAMPLES)[CRPS]
            numbers[f"{mode} {CRPS}"] = of_pdf.value, of_pdf.error
            calibration = calibrate(randomised_pit(pdf, z_N[in_N], seed))
            numbers[f"{mode} PIT KS"] = calibration.ks, 0.0
            numbers[f"{mode} coverage of 68%"] = calibration.coverage[0.68].value, calibration.coverage[0.68].error
    return numbers


@torch.no_grad()
def hidden_pixels(model: Model, galaxies: Batch, device: torch.device, seed: int) -> Numbers:
    """Mean squared error of hidden image pixels, normalised, from the rest of the image and with the spectrum.

    Empty for a model that reconstructs no images. Each galaxy counts equally; only observed pixels are judged.
    """
    if not isinstance(model, MMAE | PaperMMAE) or "image" not in model.n_tokens:
        return {}
    model.eval()
    numbers: Numbers = {}
    for name, shown in (("image", ("image",)), ("both", ("image", "spectrum"))):
        if not set(shown) <= set(model.n_tokens):
            continue
        generator = torch.Generator().manual_seed(seed)
        errors = []
        for batch in batches(galaxies, device):
            estimate = model.estimate(batch, fixed_visible(batch, model.n_tokens, shown, HIDDEN, generator))
            observed_BCHW = observed_images(batch.to(torch.device("cpu")))
            judged_BCHW = np.isfinite(observed_BCHW) & ~estimate.visible_BHW.cpu().numpy()[:, None]
            found_BCHW = normalise(estimate.image_BCHW.cpu().numpy(), model.spec)
            error_B = mean_of((found_BCHW - normalise(observed_BCHW, model.spec)) ** 2, judged_BCHW)
            errors.append(error_B[np.isfinite(error_B)])
        error_N = np.concatenate(errors)
        numbers[f"{name} hidden pixels"] = float(error_N.mean()), float(error_N.std() / np.sqrt(len(error_N)))
    return numbers


def _point(name: str, z_N: np.ndarray, predicted_N: np.ndarray, seed: int) -> Numbers:
    """Scatter, outliers and bias of point estimates."""
    scores = score_redshift(z_N, predicted_N, seed=seed, resamples=RESAMPLES)
    return {
        f"{name} {short}": (scores[key].value, scores[key].error)
        for key, short in (("sigma_nmad", "sigma"), ("outlier_rate", "outliers"), ("bias", "bias"))
    }


def probe(model: Model, train: Batch, galaxies: Batch, device: torch.device, seed: int) -> Numbers:
    """Scores of redshifts from the frozen image embedding, by nearest neighbours and by a linear model."""
    known_N, known_M = (b.redshift_known_B.numpy() & b.present["image"].numpy() for b in (train, galaxies))
    z_N, z_M = train.redshift_B.double().numpy()[known_N], galaxies.redshift_B.double().numpy()[known_M]
    train_ND, test_MD = (
        read(model, rows(b, np.flatnonzero(known)), device)["image"]["embedding"]
        for b, known in ((train, known_N), (galaxies, known_M))
    )
    numbers: Numbers = {}
    for kind in PROBES:
        predicted_M = predict_redshift(kind, train_ND, z_N, test_MD)
        for where in (LOW_Z, ALL_Z):
            in_M = selection(z_M, where)
            numbers |= _point(f"image {kind} {where}", z_M[in_M], predicted_M[in_M], seed)
    return numbers
