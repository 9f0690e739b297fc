"""Run a model on batches: redshifts for each input mode, and reconstructions of a few galaxies.

Plain torch, no Ray. Shape suffixes: N galaxies, C bands, H and W pixels, L wavelengths.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.model.masking import fixed_visible, modes_of


@dataclass
class Predictions:
    """Redshifts of N galaxies for each input mode.

    A model returns a redshift also without any input; `usable` marks the galaxies that have all modalities of the mode.
    """

    object_id: list[str]
    redshift_N: np.ndarray  # spectroscopic; NaN: unknown
    usable: dict[str, np.ndarray]  # mode -> N, bool
    predicted: dict[str, np.ndarray]  # mode -> N
    low: dict[str, np.ndarray]  # 16th percentile of p(z); NaN for a model without p(z)
    high: dict[str, np.ndarray]  # 84th percentile

    @classmethod
    def joined(cls, parts: list[Predictions]) -> Predictions:
        """Concatenate predictions of the same model."""
        parts = [part for part in parts if part.object_id]
        modes = parts[0].predicted if parts else ()

        def join(name: str) -> dict[str, np.ndarray]:
            return {mode: _concatenate([getattr(p, name)[mode] for p in parts]) for mode in modes}

        return cls(
            [i for p in parts for i in p.object_id],
            _concatenate([p.redshift_N for p in parts]),
            join("usable"),
            join("predicted"),
            join("low"),
            join("high"),
        )


@dataclass
class Reconstructions:
    """Observed data and reconstructions of galaxies with masked tokens.

    Absent modalities, and pixels that were not observed, are NaN.
    """

    object_id: list[str]
    redshift_N: np.ndarray
    image_NCHW: np.ndarray  # counts
    image_pred_NCHW: np.ndarray
    visible_NHW: np.ndarray  # bool
    flux_NL: np.ndarray  # 1e-17 erg/s/cm2/A
    ivar_NL: np.ndarray
    flux_pred_NL: np.ndarray
    visible_NL: np.ndarray  # bool

    def with_image(self) -> Reconstructions:
        return self._chosen(np.isfinite(self.image_NCHW).any((1, 2, 3)))

    def with_spectrum(self) -> Reconstructions:
        return self._chosen(np.isfinite(self.flux_NL).all(1))

    def _chosen(self, chosen_N: np.ndarray) -> Reconstructions:
        names = [name for name, keep in zip(self.object_id, chosen_N, strict=True) if keep]
        arrays = [getattr(self, f.name)[chosen_N] for f in dataclasses.fields(self)[1:]]
        return Reconstructions(names, *arrays)


def has_modalities(batch: Batch, names: Collection[str]) -> torch.Tensor:
    """Mask (B,) of the galaxies that have all of these modalities."""
    return torch.stack([batch.present[name] for name in names]).all(0)


@torch.no_grad()
def predict_redshifts(
    model: Model, batches: Iterable[Batch], device: torch.device, limit: int | None = None
) -> Predictions:
    """Redshifts for each input mode of the model (image, spectrum, both, ...), without masking.

    Args:
        limit: stop after the batch that reaches this number of galaxies.
    """
    model.eval()
    parts: list[Predictions] = []
    n_seen = 0
    for batch in batches:
        part = _predict_batch(model, batch.to(device))
        parts.append(part)
        n_seen += len(part.object_id)
        if limit is not None and n_seen >= limit:
            break
    return Predictions.joined(parts)


def _predict_batch(model: Model, batch: Batch) -> Predictions:
    known_B = batch.redshift_known_B
    part = Predictions(batch.object_id, torch.where(known_B, batch.redshift_B, torch.nan).cpu().numpy(), {}, {}, {}, {})
    for mode, shown in modes_of(model.n_tokens).items():
        visible = fixed_visible(batch, model.n_tokens, shown)
        point_B, low_B, high_B = model.redshift(batch, visible)
        nan_B = torch.full_like(point_B, torch.nan)
        part.usable[mode] = has_modalities(batch, shown).cpu().numpy()
        part.predicted[mode] = point_B.cpu().numpy()
        part.low[mode] = (nan_B if low_B is None else low_B).cpu().numpy()
        part.high[mode] = (nan_B if high_B is None else high_B).cpu().numpy()
    return part


def _concatenate(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


@torch.no_grad()
def reconstruct(
    model: Model, batches: Iterable[Batch], device: torch.device, *, examples: int, mask_ratio: float, seed: int
) -> Reconstructions | None:
    """Reconstructions of the first galaxies with an image and the first with a spectrum, up to `examples` of each.

    Modalities that the model does not reconstruct are treated as absent; None if it reconstructs neither.

    Args:
        mask_ratio: fraction of masked tokens.
        seed: seed of the masks.
    """
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    object_id: list[str] = []
    columns: list[tuple[torch.Tensor, ...]] = []
    n_images = n_spectra = 0
    for batch in batches:
        batch = batch.to(device)
        visible = fixed_visible(batch, model.n_tokens, model.n_tokens, mask_ratio, generator)
        estimate = model.estimate(batch, visible)
        if not {"image", "spectrum"} & estimate.values.keys():
            return None
        for i in range(len(batch)):
            image = bool(batch.present["image"][i]) and "image" in estimate.values
            spectrum = bool(batch.present["spectrum"][i]) and "spectrum" in estimate.values
            if not ((image and n_images < examples) or (spectrum and n_spectra < examples)):
                continue
            n_images, n_spectra = n_images + image, n_spectra + spectrum
            object_id.append(batch.object_id[i])
            columns.append(
                (
                    _or_nan(batch.redshift_B[i], bool(batch.redshift_known_B[i])),
                    _or_nan(batch.image_BCHW[i], image),
                    estimate.values.get("image", batch.image_BCHW)[i],
                    estimate.visible.get("image", batch.image_BCHW[:, 0] != 0)[i],
                    _or_nan(batch.flux_BL[i], spectrum),
                    _or_nan(batch.ivar_BL[i], spectrum),
                    estimate.values.get("spectrum", batch.flux_BL)[i],
                    estimate.visible.get("spectrum", batch.flux_BL != 0)[i],
                )
            )
        if n_images >= examples and n_spectra >= examples:
            break
    return Reconstructions(object_id, *(torch.stack(c).cpu().numpy() for c in zip(*columns, strict=True)))


def _or_nan(value: torch.Tensor, present: bool) -> torch.Tensor:
    return value if present else torch.full_like(value, torch.nan)
