"""Hides parts of images and spectra, lets the model and baselines fill them in, and measures the results.

Plain torch, no Ray. Masks are patches chosen uniformly at random: the tokens of the model.

Shape suffixes: N galaxies, M training galaxies, B batch, C bands, H and W pixels, L wavelength samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.hidden import noise_floor
from mmae.evaluation.hidden.baselines import PAPER, Baselines
from mmae.evaluation.hidden.gallery import GalleryRow, chosen_galaxies
from mmae.evaluation.hidden.image_measures import FilledMeasures, Masked, join_measures
from mmae.evaluation.hidden.image_scores import HiddenSample, join_samples, sample_of
from mmae.evaluation.hidden.normalised import denormalise, normalise
from mmae.evaluation.hidden.pca import SpectrumComponents, choose_components
from mmae.evaluation.hidden.spectra import HiddenSpectra, Spectra, join_hidden_spectra, measure_spectra
from mmae.evaluation.photoz.strata import POINT_SOURCE
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.model.masking import Visible, fixed_visible
from mmae.model.outputs import Estimate
from mmae.simulation.again import second_images, simulations_of
from mmae.survey.schema import SurveySpec

RATIOS, JUDGED = (0.5, 0.75, 0.9), 0.75
IMAGE_ONLY, WITH_SPECTRUM = INPUTS = ("image only", "with a quarter of the spectrum")
SPECTRUM_RATIO = 0.75
TRAINING_GALAXIES = 2000  # 145 kB each in memory

Key = tuple[str, float]
"""Input of the model or name of a baseline, and masked fraction of the image."""
Filled = dict[Key, FilledMeasures]


@dataclass(frozen=True)
class HiddenParts:
    """Measures of filled images and spectra.

    Attributes:
        galaxies: number of measured galaxies.
        patch: side of the masked image patches, pixels; 0 for a model without images.
        samples: masked fraction -> galaxies and masks; empty for a model that does not reconstruct images.
        filled: measures of the images filled by the model and by the baselines.
        neighbours: number of nearest training images; 0 without training images.
        spectra: image and spectrum partly hidden; None for a model that does not reconstruct spectra.
        gallery: a few galaxies for the figure, image only, judged fraction.
    """

    galaxies: int
    patch: int
    samples: Mapping[float, HiddenSample]
    filled: Filled
    neighbours: int
    spectra: HiddenSpectra | None
    gallery: tuple[GalleryRow, ...]


@dataclass(frozen=True)
class Training:
    """What the baselines learn from: images in normalised units, and spectra."""

    image_MCHW: np.ndarray
    flux_ML: np.ndarray
    ivar_ML: np.ndarray


def read_training(batches: Iterable[Batch], spec: SurveySpec, most: int = TRAINING_GALAXIES) -> Training:
    """The first training galaxies: about `most`, in whole batches."""
    images, fluxes, ivars, seen = [], [], [], 0
    for batch in batches:
        images.append(normalise(batch.image_BCHW[batch.present["image"]].numpy(), spec))
        fluxes.append(batch.flux_BL[batch.present["spectrum"]].numpy())
        ivars.append(batch.ivar_BL[batch.present["spectrum"]].numpy())
        seen += len(batch)
        if seen >= most:
            break
    return Training(np.concatenate(images), np.concatenate(fluxes), np.concatenate(ivars))


@torch.no_grad()
def measure_hidden_parts(
    model: Model,
    batches: Iterable[Batch],
    device: torch.device,
    spec: SurveySpec,
    catalogue: Catalogue,
    *,
    training: Training | None,
    provenance: Mapping[str, Any],
    paper: Model | None,
    seed: int,
) -> HiddenParts | None:
    """Measure all galaxies of the batches, which must have the order of the catalogue.

    None for a model that reconstructs neither images nor spectra.

    Args:
        training: training galaxies for the baselines; None: baselines that need them are left out.
        provenance: of the survey: simulated galaxies are observed again for the noise floor.
        paper: another trained model that reconstructs images, as a baseline; left out if its patches are of another
            size, because other pixels would be hidden from it.
        seed: of the masks.
    """
    model.eval()
    if paper is not None and patch_side(paper, spec) != patch_side(model, spec):
        paper = None
    simulations = simulations_of(provenance)
    point_N = catalogue.morphtype_N == POINT_SOURCE
    baselines, components = Baselines(), None
    samples: dict[float, list[HiddenSample]] = {ratio: [] for ratio in RATIOS}
    filled: list[Filled] = []
    spectra: list[HiddenSpectra] = []
    pictures: list[tuple[np.ndarray, ...]] = []
    start = 0
    for number, batch in enumerate(batches):
        point_B = point_N[start : start + len(batch)]
        start += len(batch)
        estimates = _estimates(model, batch, device, seed + number, INPUTS)
        first = estimates[IMAGE_ONLY, JUDGED]
        if not {"image", "spectrum"} & first.values.keys():
            return None
        if number == 0 and training is not None:
            baselines, components = _fitted(training, estimates, seed)
        if "image" in first.values:
            observed = observed_images(batch)
            again = second_images(batch.object_id, observed, simulations, spec)
            second = None if again is None else noise_floor.second_realisation(observed, again, spec)
            published = noise_floor.published(observed, spec)
            of_paper = {} if paper is None else _estimates(paper, batch, device, seed + number, (IMAGE_ONLY,))
            here: Filled = {}
            for ratio in RATIOS:
                masked = Masked(observed, _visible(estimates[IMAGE_ONLY, ratio]), patch_side(model, spec), spec)
                sample = sample_of(masked, second, published, point_B)
                samples[ratio].append(sample)
                shaped_B = sample.elongated_N()
                for inputs in INPUTS:
                    if (inputs, ratio) in estimates:
                        here[inputs, ratio] = masked.measure(_image(estimates[inputs, ratio]), shaped_B)
                for name, image_BCHW in fill_with_baselines(masked, baselines).items():
                    here[name, ratio] = masked.measure(image_BCHW, shaped_B)
                if paper is not None:
                    here[PAPER, ratio] = masked.measure(_image(of_paper[IMAGE_ONLY, ratio]), shaped_B)
            filled.append(here)
            pictures.append((observed, _visible(first), _image(first).astype(np.float32)))
        if "spectrum" in first.values:
            spectra.append(_spectra(batch, estimates[WITH_SPECTRUM, JUDGED], spec, point_B, components))
    joined = {ratio: join_samples(parts) for ratio, parts in samples.items() if parts}
    return HiddenParts(
        start,
        patch_side(model, spec),
        joined,
        {key: join_measures([part[key] for part in filled]) for key in (filled[0] if filled else ())},
        baselines.k,
        join_hidden_spectra(spectra) if spectra else None,
        _gallery(joined[JUDGED], pictures, catalogue, spec) if joined else (),
    )


def patch_side(model: Model, spec: SurveySpec) -> int:
    """Side of the image tokens of a model in pixels; 0 without images."""
    n = model.n_tokens.get("image", 0)
    return spec.image_size // round(n**0.5) if n else 0


def masks_of(batch: Batch, n_tokens: Mapping[str, int], seed: int) -> dict[Key, Visible]:
    """Masks of a batch for all inputs and fractions. Equal seeds hide the same image patches of all inputs."""

    def one(name: str, ratio: float) -> Visible:
        if name not in n_tokens:
            return {}
        generator = torch.Generator().manual_seed(seed)
        return fixed_visible(batch, {name: n_tokens[name]}, (name,), ratio, generator)

    nothing = fixed_visible(batch, n_tokens, ())
    masks: dict[Key, Visible] = {}
    for ratio in RATIOS:
        masks[IMAGE_ONLY, ratio] = {**nothing, **one("image", ratio)}
        if "spectrum" in n_tokens:
            masks[WITH_SPECTRUM, ratio] = {**masks[IMAGE_ONLY, ratio], **one("spectrum", SPECTRUM_RATIO)}
    return masks


def observed_images(batch: Batch) -> np.ndarray:
    """Observed images; NaN where not observed and for galaxies without an image."""
    return np.where(batch.present["image"].numpy()[:, None, None, None], batch.image_BCHW.numpy(), np.nan)


def fill_with_baselines(masked: Masked, baselines: Baselines) -> dict[str, np.ndarray]:
    """Method -> reconstructed images in counts."""
    value_NCHW = normalise(masked.observed_NCHW, masked.spec)
    made = baselines.predict(value_NCHW, masked.shown_NCHW)
    return {name: denormalise(image_NCHW, masked.spec) for name, image_NCHW in made.items()}


def fill_with_model(model: Model, batch: Batch, device: torch.device, ratio: float, seed: int) -> Estimate:
    """The model's estimate from a part of the image alone, as `measure_hidden_parts` hides it from a batch."""
    on_device = batch.to(device)
    return model.estimate(on_device, masks_of(on_device, model.n_tokens, seed)[IMAGE_ONLY, ratio])


def _estimates(
    model: Model, batch: Batch, device: torch.device, seed: int, inputs: Sequence[str]
) -> dict[Key, Estimate]:
    on_device = batch.to(device)
    masks = masks_of(on_device, model.n_tokens, seed)
    return {key: model.estimate(on_device, visible) for key, visible in masks.items() if key[0] in inputs}


def _image(estimate: Estimate) -> np.ndarray:
    return estimate.image_BCHW.cpu().numpy()


def _visible(estimate: Estimate) -> np.ndarray:
    return estimate.visible_BHW.cpu().numpy()


def _fitted(
    training: Training, estimates: Mapping[Key, Estimate], seed: int
) -> tuple[Baselines, SpectrumComponents | None]:
    """Baselines fitted to training galaxies, with the masks of the first batch."""
    baselines, components = Baselines(), None
    image, spectrum = estimates[IMAGE_ONLY, JUDGED], estimates.get((WITH_SPECTRUM, JUDGED))
    if "image" in image.values:
        baselines = Baselines.fitted(training.image_MCHW, _visible(image))
    if spectrum is not None and "spectrum" in spectrum.values:
        components = choose_components(training.flux_ML, training.ivar_ML, spectrum.visible_BL.cpu().numpy(), seed)
    return baselines, components


def _spectra(
    batch: Batch, estimate: Estimate, spec: SurveySpec, point_B: np.ndarray, components: SpectrumComponents | None
) -> HiddenSpectra:
    spectra = Spectra(
        spec.wavelength_L(),
        batch.flux_BL.numpy(),
        np.where(batch.present["spectrum"].numpy()[:, None], batch.ivar_BL.numpy(), 0.0),
        estimate.visible_BL.cpu().numpy(),
        np.where(batch.redshift_known_B.numpy(), batch.redshift_B.numpy(), np.nan),
        point_B,
    )
    return measure_spectra(spectra, estimate.flux_BL.cpu().numpy(), estimate.redshift_B.cpu().numpy(), components)


def _gallery(
    sample: HiddenSample, pictures: Sequence[tuple[np.ndarray, ...]], catalogue: Catalogue, spec: SurveySpec
) -> tuple[GalleryRow, ...]:
    observed, visible, reconstructed = (np.concatenate(column) for column in zip(*pictures, strict=True))
    return tuple(
        GalleryRow(f"{name}\n{catalogue.object_id_N[row]}", observed[row], visible[row], reconstructed[row])
        for name, row in chosen_galaxies(sample.observed, catalogue, spec).items()
    )
