"""Reconstructs masked galaxies with the model and measures the reconstructions.

Two situations: both modalities partly masked, and the spectrum absent. Plain torch, no Ray.
Shape suffixes: N galaxies, E lines with a truth, B batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.images.compare import ImageMeasures, join_image_measures, measure_images
from mmae.evaluation.lines.batch import SpectraMeasures, join_spectra_measures, measure_spectra
from mmae.evaluation.lines.measure import Reconstruction
from mmae.evaluation.lines.measures import choose_galaxies
from mmae.evaluation.photoz.strata import POINT_SOURCE
from mmae.inference.predict import Reconstructions
from mmae.metrics.redshift import LOW_REDSHIFT
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.model.masking import INPUT_MODES, fixed_visible
from mmae.model.outputs import Estimate
from mmae.survey.schema import SurveySpec

ABSENT = "spectrum absent"
NEAR = (0.15, LOW_REDSHIFT)  # closer galaxies are larger than the cutout
HIGH_REDSHIFT = 2.1  # Lyman-alpha is in the spectrum


def masked_name(ratio: float) -> str:
    return f"{ratio:.0%} masked"


@dataclass(frozen=True)
class ReconstructionMeasures:
    """Measurements of the reconstructions; None for a modality that the model does not reconstruct.

    Attributes:
        examples: situation -> one example: a near galaxy partly masked, a distant one without its spectrum.
    """

    images: ImageMeasures | None
    spectra: SpectraMeasures | None
    examples: Mapping[str, Reconstructions]


@torch.no_grad()
def measure_reconstructions(
    model: Model,
    batches: Iterable[Batch],
    device: torch.device,
    spec: SurveySpec,
    catalogue: Catalogue,
    true_ew_NE: np.ndarray,
    *,
    mask_ratio: float,
    line_galaxies: int,
    seed: int,
) -> ReconstructionMeasures:
    """Measure all galaxies of the batches, which must have the order of the catalogue.

    Args:
        true_ew_NE: true equivalent widths of a simulated survey, Angstrom; NaN where unknown.
        mask_ratio: masked fraction of image and spectrum.
        line_galaxies: maximum number of galaxies for line fits.
        seed: of the masks and of the selection of galaxies for line fits.
    """
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    wavelength_L = spec.wavelength_L()
    fit_N = choose_galaxies(len(catalogue), seed=seed, most=line_galaxies)
    id_of_example = example_galaxies(catalogue, mask_ratio)
    images, spectra, examples = [], [], {}
    start = 0
    for batch in batches:
        rows = slice(start, start + len(batch))
        start += len(batch)
        on_device = batch.to(device)
        visible = fixed_visible(on_device, model.n_tokens, INPUT_MODES["both"], mask_ratio, generator)
        masked = model.estimate(on_device, visible)
        if not {"image", "spectrum"} & masked.values.keys():
            return ReconstructionMeasures(None, None, {})
        image_only = model.estimate(on_device, fixed_visible(on_device, model.n_tokens, INPUT_MODES["image"]))
        estimates = {masked_name(mask_ratio): masked, ABSENT: image_only}
        if "image" in masked.values:
            images.append(
                measure_images(_image(batch), masked.image_BCHW.cpu().numpy(), masked.visible_BHW.cpu().numpy(), spec)
            )
        if "spectrum" not in masked.values:
            continue
        flux_BL, ivar_BL = batch.flux_BL.numpy(), batch.ivar_BL.numpy()
        redshift_B = np.where(batch.redshift_known_B.numpy(), batch.redshift_B.numpy(), np.nan)
        reconstructions = {
            name: Reconstruction(e.flux_BL.cpu().numpy(), e.visible_BL.cpu().numpy() | _nothing_shown(batch, name))
            for name, e in estimates.items()
        }
        spectra.append(
            measure_spectra(
                wavelength_L,
                flux_BL,
                ivar_BL,
                redshift_B,
                reconstructions,
                true_ew_BE=true_ew_NE[rows],
                names_B=batch.object_id,
                fit_B=fit_N[rows],
            )
        )
        for situation, object_id in id_of_example.items():
            if "image" in masked.values and object_id in batch.object_id:
                row = batch.object_id.index(object_id)
                if not _nothing_shown(batch, situation)[row]:
                    examples[situation] = _example(batch, estimates[situation], row)
    return ReconstructionMeasures(
        join_image_measures(images) if images else None, join_spectra_measures(spectra) if spectra else None, examples
    )


def example_galaxies(catalogue: Catalogue, mask_ratio: float) -> dict[str, str]:
    """Situation -> object id of its example: the brightest near extended galaxy, the brightest distant one."""
    brightness_N = np.nanmin(np.where(np.isfinite(catalogue.mag_NC), catalogue.mag_NC, np.inf), axis=1)
    chosen = {
        masked_name(mask_ratio): (catalogue.redshift_N > NEAR[0])
        & (catalogue.redshift_N < NEAR[1])
        & (catalogue.morphtype_N != POINT_SOURCE),
        ABSENT: catalogue.redshift_N > HIGH_REDSHIFT,
    }
    return {
        situation: str(catalogue.object_id_N[np.where(these_N, brightness_N, np.inf).argmin()])
        for situation, these_N in chosen.items()
        if these_N.any()
    }


def _nothing_shown(batch: Batch, situation: str) -> np.ndarray:
    """(B, 1) bool: the model saw nothing of the galaxy, which has no image. Its reconstruction is not judged."""
    return (~batch.present["image"].numpy() & (situation == ABSENT))[:, None]


def _image(batch: Batch) -> np.ndarray:
    """Observed images; NaN for galaxies without an image."""
    return np.where(batch.present["image"].numpy()[:, None, None, None], batch.image_BCHW.numpy(), np.nan)


def _example(batch: Batch, estimate: Estimate, row: int) -> Reconstructions:
    here = slice(row, row + 1)
    spectrum = batch.present["spectrum"][here, None]
    nan = torch.tensor(torch.nan)
    values = (
        batch.redshift_B[here],
        torch.from_numpy(_image(batch)[here]),
        estimate.image_BCHW[here],
        estimate.visible_BHW[here],
        torch.where(spectrum, batch.flux_BL[here], nan),
        torch.where(spectrum, batch.ivar_BL[here], nan),
        estimate.flux_BL[here],
        estimate.visible_BL[here],
    )
    return Reconstructions([batch.object_id[row]], *(v.cpu().numpy() for v in values))
