"""Run a trained model on a split and collect redshifts, p(z) and embeddings for scoring.

Plain torch, no Ray; batches may come from any iterable. Shape suffixes: N galaxies, K redshift bins,
D embedding width, I image mask ratios, S spectrum mask ratios, B batch, L wavelengths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mmae.astro.dn4000 import dn4000
from mmae.inference.predict import has_modalities
from mmae.model.batch import Batch
from mmae.model.build import Model
from mmae.model.masking import INPUT_MODES, fixed_visible, modes_of
from mmae.model.part_configs import RedshiftConfig
from mmae.model.redshift import bin_edges

BREAK_ERROR = 0.2  # maximum error of Dn4000; young and old galaxies differ by 0.5 (Kauffmann et al. 2003)


@dataclass(frozen=True)
class Readings:
    """Model outputs for one input mode, N galaxies in the order of the batches.

    Attributes:
        usable_N: mask of the galaxies that have all modalities of the mode.
        redshift_N: point estimate.
        probability_NK: p(z) in equal bins of ln(1+z); None for a model without p(z).
        edges_K1: bin edges in ln(1+z); None for a model without p(z).
        embedding_ND: embedding; NaN where not usable.
    """

    usable_N: np.ndarray
    redshift_N: np.ndarray
    probability_NK: np.ndarray | None
    edges_K1: np.ndarray | None
    embedding_ND: np.ndarray

    @property
    def prediction_N(self) -> np.ndarray:
        """The point estimate; NaN where not usable."""
        return np.where(self.usable_N, self.redshift_N, np.nan)

    def chosen(self, which_N: np.ndarray) -> Readings:
        """The readings of the galaxies of a mask."""
        probability_NK = None if self.probability_NK is None else self.probability_NK[which_N]
        return Readings(
            self.usable_N[which_N], self.redshift_N[which_N], probability_NK, self.edges_K1, self.embedding_ND[which_N]
        )


@dataclass(frozen=True)
class Spectroscopy:
    """Quantities measured on the observed spectra; NaN without a spectrum.

    Attributes:
        snr_N: median signal-to-noise ratio per sample.
        dn4000_N: the narrow 4000 A break, an indicator of star formation; NaN if its error exceeds BREAK_ERROR.
    """

    snr_N: np.ndarray
    dn4000_N: np.ndarray


@torch.no_grad()
def read_modes(
    model: Model, batches: Iterable[Batch], device: torch.device, wavelength_L: np.ndarray
) -> tuple[dict[str, Readings], Spectroscopy]:
    """Redshift, p(z) and embedding for each input mode of the model, without masking, and measurements on the observed
    spectra."""
    model.eval()
    modes = modes_of(model.n_tokens)
    parts: dict[str, list[dict[str, np.ndarray]]] = {mode: [] for mode in modes}
    spectroscopy: list[tuple[np.ndarray, np.ndarray]] = []
    for batch in batches:
        spectroscopy.append(_spectroscopy(batch, wavelength_L))
        batch = batch.to(device)
        shown = [fixed_visible(batch, model.n_tokens, modalities) for modalities in modes.values()]
        for (mode, modalities), reading in zip(modes.items(), model.read(batch, shown), strict=True):
            part = {
                "usable": has_modalities(batch, modalities),
                "redshift": reading.redshift_B,
                "embedding": reading.embedding_BD,
            }
            if reading.probability_BK is not None:
                part["probability"] = reading.probability_BK
            parts[mode].append({name: value.float().cpu().numpy() for name, value in part.items()})
    edges_K1 = redshift_edges(model)
    return {mode: _joined(of_mode, edges_K1) for mode, of_mode in parts.items()}, _stacked(spectroscopy)


def redshift_edges(model: Model) -> np.ndarray | None:
    """Bin edges (K+1,) in ln(1+z) of the p(z) of a model; None for a model without p(z)."""
    config = getattr(model.config, "redshift", None)
    return bin_edges(config).double().numpy() if isinstance(config, RedshiftConfig) else None


def _joined(parts: Sequence[Mapping[str, np.ndarray]], edges_K1: np.ndarray | None) -> Readings:
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    usable_N = whole["usable"].astype(bool)
    return Readings(
        usable_N,
        whole["redshift"].astype(float),
        whole.get("probability"),
        edges_K1,
        np.where(usable_N[:, None], whole["embedding"], np.nan),
    )


def _spectroscopy(batch: Batch, wavelength_L: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flux_BL, ivar_BL = batch.flux_BL.numpy(), batch.ivar_BL.numpy()
    snr_BL = np.where(ivar_BL > 0, flux_BL * np.sqrt(ivar_BL), np.nan)
    present_B = batch.present["spectrum"].numpy()
    snr_B = np.full(len(batch), np.nan)
    snr_B[present_B] = np.nanmedian(snr_BL[present_B], axis=1)
    redshift_B = np.where(batch.redshift_known_B.numpy(), batch.redshift_B.numpy(), np.nan)
    break_B, error_B = dn4000(wavelength_L, flux_BL, ivar_BL, redshift_B)
    return snr_B, np.where(present_B & (error_B < BREAK_ERROR), break_B, np.nan)


def _stacked(parts: list[tuple[np.ndarray, np.ndarray]]) -> Spectroscopy:
    return Spectroscopy(*(np.concatenate(column) for column in zip(*parts, strict=True)))


@torch.no_grad()
def read_surface(
    model: Model,
    batches: Iterable[Batch],
    device: torch.device,
    image_ratios: Sequence[float],
    spectrum_ratios: Sequence[float],
    *,
    seed: int,
) -> np.ndarray:
    """Redshifts (I, S, N) for each combination of image and spectrum mask ratio; ratio 1 hides the modality.

    The random numbers are the same for all ratios, so tokens visible at one ratio are also visible at all smaller
    ratios. NaN for galaxies without image or spectrum, and where both ratios are 1.
    """
    model.eval()
    parts = []
    for number, batch in enumerate(batches):
        batch = batch.to(device)
        usable_B = has_modalities(batch, INPUT_MODES["both"]).cpu().numpy()
        cells = [
            (i, s)
            for i, image in enumerate(image_ratios)
            for s, spectrum in enumerate(spectrum_ratios)
            if not image == spectrum == 1.0
        ]
        shown = [
            fixed_visible(
                batch,
                model.n_tokens,
                INPUT_MODES["both"],
                {"image": image_ratios[i], "spectrum": spectrum_ratios[s]},
                torch.Generator().manual_seed(seed + number),
            )
            for i, s in cells
        ]
        cells_ISB = np.full((len(image_ratios), len(spectrum_ratios), len(batch)), np.nan)
        for (i, s), reading in zip(cells, model.read(batch, shown), strict=True):
            cells_ISB[i, s] = np.where(usable_B, reading.redshift_B.cpu().numpy(), np.nan)
        parts.append(cells_ISB)
    return np.concatenate(parts, axis=2)
