"""Which tokens the encoder may see. Legend of suffixes: batch.py; T image, S spectrum tokens.

Presence and mask are two things. A modality that was not measured is absent: no token
of it is visible and none is a target. A masked token was measured and is hidden: it is a target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mmae.model.batch import Batch


@dataclass(frozen=True)
class MaskConfig:
    """How much the encoder sees while it learns."""

    image_ratio: tuple[float, float] = (0.75, 0.75)
    """Fraction of image tokens masked: drawn for every batch from this range."""
    spectrum_ratio: tuple[float, float] = (0.75, 0.75)
    """Fraction of spectrum tokens masked: drawn for every batch from this range."""
    drop_image: float = 0.0
    """Probability that the whole image is hidden (never together with the spectrum)."""
    drop_spectrum: float = 0.5
    """Probability that the whole spectrum is hidden."""
    drop_unit: Literal["sample", "batch"] = "sample"
    """Hide whole modalities galaxy by galaxy, or for the batch at once (the paper's way)."""

    def __post_init__(self) -> None:
        for name in ("image_ratio", "spectrum_ratio"):
            low, high = getattr(self, name)
            if not 0 <= low <= high < 1:
                raise ValueError(
                    f"{name} is ({low}, {high}): a mask ratio is a range low <= high inside [0, 1)."
                )
        for name in ("drop_image", "drop_spectrum"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: a probability lies in [0, 1].")
        if self.drop_image + self.drop_spectrum > 1:
            raise ValueError("drop_image + drop_spectrum exceeds 1: a galaxy keeps one modality.")


@dataclass
class Visible:
    """The tokens that the encoder sees (bool), per modality."""

    image_BT: Tensor
    spectrum_BS: Tensor


def random_visible(
    present_B: Tensor, n_tokens: int, mask_ratio: float, generator: torch.Generator
) -> Tensor:
    """Hide round(mask_ratio * n_tokens) tokens of every present galaxy, uniformly at random.

    Returns (B, n_tokens) bool on the device of `present_B`; all False where absent.
    The draw is made on the generator's device, so that a seed gives the same masks anywhere.
    """
    n_masked = round(mask_ratio * n_tokens)
    noise_BT = torch.rand(len(present_B), n_tokens, generator=generator, device=generator.device)
    rank_BT = noise_BT.argsort(-1).argsort(-1)
    return (rank_BT >= n_masked).to(present_B.device) & present_B[:, None]


def draw_visible(
    batch: Batch, n_image: int, n_spectrum: int, config: MaskConfig, generator: torch.Generator
) -> Visible:
    """The masks of one training batch. A galaxy with one modality keeps it."""

    def uniform(low: float, high: float) -> float:
        draw = torch.rand((), generator=generator, device=generator.device).item()
        return low + (high - low) * draw

    image_ratio, spectrum_ratio = uniform(*config.image_ratio), uniform(*config.spectrum_ratio)
    n_draws = len(batch) if config.drop_unit == "sample" else 1
    draw_B = torch.rand(n_draws, generator=generator, device=generator.device)
    draw_B = draw_B.expand(len(batch)).to(batch.image_present_B.device)
    hide_image_B = (draw_B < config.drop_image) & batch.spectrum_present_B
    hide_spectrum_B = (draw_B >= 1 - config.drop_spectrum) & batch.image_present_B
    return Visible(
        random_visible(batch.image_present_B & ~hide_image_B, n_image, image_ratio, generator),
        random_visible(batch.spectrum_present_B & ~hide_spectrum_B, n_spectrum, spectrum_ratio, generator),
    )


InputMode = Literal["image", "spectrum", "both"]


def fixed_visible(
    batch: Batch,
    n_image: int,
    n_spectrum: int,
    mode: InputMode,
    image_ratio: float = 0.0,
    spectrum_ratio: float = 0.0,
    generator: torch.Generator | None = None,
) -> Visible:
    """What the encoder sees at inference: `mode` names the modalities that are shown."""
    generator = generator or torch.Generator()
    none_B = torch.zeros_like(batch.image_present_B)
    image_B = batch.image_present_B if mode != "spectrum" else none_B
    spectrum_B = batch.spectrum_present_B if mode != "image" else none_B
    return Visible(
        random_visible(image_B, n_image, image_ratio, generator),
        random_visible(spectrum_B, n_spectrum, spectrum_ratio, generator),
    )


def visible_order(visible_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Where the visible tokens stand: indices (B, V) and which of the V are real.

    V is the largest number of visible tokens of any galaxy in the batch; a galaxy with
    fewer is filled up with hidden tokens that `valid_BV` marks False, and every
    attention must leave those out.
    """
    n_visible = int(visible_BT.sum(-1).max()) if len(visible_BT) else 0
    order_BT = visible_BT.to(torch.uint8).argsort(dim=-1, descending=True, stable=True)
    order_BV = order_BT[:, :n_visible]
    return order_BV, visible_BT.gather(1, order_BV)


def pick(tokens_BTP: Tensor, order_BV: Tensor) -> Tensor:
    """The tokens at the given places: (B, T, P) -> (B, V, P)."""
    return tokens_BTP.gather(1, order_BV[..., None].expand(-1, -1, tokens_BTP.shape[-1]))
