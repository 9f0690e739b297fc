"""Hide most of each galaxy, let the model fill it in, and measure what came back.

Two situations: both modalities masked, and the spectrum wholly absent. Plain torch, no Ray.
Shape suffixes: N galaxies, E lines with a truth, B batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.images.compare import ImageMeasures, measure_images
from mmae.evaluation.images.compare import joined as joined_images
from mmae.evaluation.lines.batch import SpectraMeasures, measure_spectra
from mmae.evaluation.lines.batch import joined as joined_spectra
from mmae.evaluation.lines.measure import Reconstruction
from mmae.evaluation.lines.measures import choose
from mmae.evaluation.photoz.strata import POINT_SOURCE
from mmae.inference.predict import Reconstructions
from mmae.metrics.redshift import LOW_REDSHIFT
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.model.masking import MODES, fixed_visible
from mmae.model.outputs import Estimate
from mmae.survey.schema import SurveySpec

ABSENT = "spectrum absent"
NEAR = (0.15, LOW_REDSHIFT)  # closer ones are larger than the cutout
HIGH_REDSHIFT = 2.1  # Lyman-alpha is in the spectrum


def masked_name(ratio: float) -> str:
    return f"{ratio:.0%} masked"


@dataclass(frozen=True)
class Measured:
    """What was measured on reconstructions.

    Attributes:
        examples: situation -> one galaxy in full: a near one masked, a distant one without its spectrum.
    """

    images: ImageMeasures
    spectra: SpectraMeasures
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
) -> Measured:
    """Measure all galaxies of the batches, which are those of the catalogue in its order.

    Args:
        true_ew_NE: true equivalent widths of a simulated survey; NaN where unknown.
        mask_ratio: masked fraction of image and spectrum.
        line_galaxies: galaxies whose lines are fitted, at most.
        seed: of the masks and of the choice of galaxies.
    """
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    wavelength_L = spec.wavelength_L()
    fit_N = choose(len(catalogue), seed=seed, most=line_galaxies)
    wanted = example_galaxies(catalogue, mask_ratio)
    images, spectra, examples = [], [], {}
    start = 0
    for batch in batches:
        rows = slice(start, start + len(batch))
        start += len(batch)
        shown = batch.to(device)
        masked = model.estimate(shown, fixed_visible(shown, model.n_tokens, MODES["both"], mask_ratio, generator))
        alone = model.estimate(shown, fixed_visible(shown, model.n_tokens, MODES["image"]))
        found = {masked_name(mask_ratio): masked, ABSENT: alone}
        images.append(
            measure_images(_image(batch), masked.image_BCHW.cpu().numpy(), masked.visible_BHW.cpu().numpy(), spec)
        )
        flux_BL, ivar_BL = batch.flux_BL.numpy(), batch.ivar_BL.numpy()
        redshift_B = np.where(batch.redshift_known_B.numpy(), batch.redshift_B.numpy(), np.nan)
        made = {name: Reconstruction(e.flux_BL.cpu().numpy(), e.visible_BL.cpu().numpy()) for name, e in found.items()}
        spectra.append(
            measure_spectra(
                wavelength_L,
                flux_BL,
                ivar_BL,
                redshift_B,
                made,
                true_ew_BE=true_ew_NE[rows],
                names_B=batch.object_id,
                fit_B=fit_N[rows],
            )
        )
        for situation, object_id in wanted.items():
            if object_id in batch.object_id:
                examples[situation] = _example(batch, found[situation], batch.object_id.index(object_id))
    return Measured(joined_images(images), joined_spectra(spectra), examples)


def example_galaxies(catalogue: Catalogue, mask_ratio: float) -> dict[str, str]:
    """Whom to draw, by situation: the brightest extended galaxy nearby, the brightest distant one."""
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


def _image(batch: Batch) -> np.ndarray:
    """Observed images; NaN where there is none."""
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
