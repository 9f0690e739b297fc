"""Masks: the tokens that are visible to the encoder. Legend of suffixes: batch.py; T tokens of a modality.

Absent and masked are different. A modality that was not measured is absent: none of its tokens is visible or a target.
A masked token was measured and is hidden: it is a target.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

import torch
from torch import Tensor

from mmae.model.batch import Batch
from mmae.model.config import MaskConfig
from mmae.model.draws import Draws
from mmae.model.modalities import MODALITIES
from mmae.model.view import Visible


def random_visible(present_B: Tensor, noise_BT: Tensor, mask_ratio: float) -> Tensor:
    """Hide round(mask_ratio * T) tokens of every present galaxy: those with the least noise.

    Returns:
        (B, T) bool; all False where absent.
    """
    rank_BT = noise_BT.argsort(-1).argsort(-1)
    return (rank_BT >= round(mask_ratio * noise_BT.shape[1])) & present_B[:, None]


def draw_visible(batch: Batch, n_tokens: Mapping[str, int], config: MaskConfig, draws: Draws) -> Visible:
    """The masks of one view of a training batch, on the CPU.

    The modality of a galaxy that has only one is never hidden as a whole. One ratio for all galaxies of a batch, so
    that they have equally many tokens and need no padding.

    Args:
        n_tokens: of each modality of the model.
    """
    ratios = {}
    for name in n_tokens:
        low, high = getattr(config, f"{name}_ratio")
        ratios[name] = low + (high - low) * draws.batch()
    shown = _draw_dropped(batch, n_tokens, config, draws)
    return {name: random_visible(shown[name], draws.galaxies(n), ratios[name]) for name, n in n_tokens.items()}


def _draw_dropped(batch: Batch, n_tokens: Mapping[str, int], config: MaskConfig, draws: Draws) -> dict[str, Tensor]:
    """The galaxies for which each modality is not hidden as a whole, (B,) bool. Every galaxy keeps at least one."""

    def draw() -> Tensor:
        if config.drop_unit == "sample":
            return draws.galaxies()
        return torch.full((len(batch),), draws.batch(), dtype=torch.double)

    present = {name: batch.present[name].cpu() for name in n_tokens}
    shown = dict(present)
    # Of a galaxy that an epoch repeats, the additional copies show the spectrum: views without it keep the natural mix.
    drop_B = {
        name: getattr(config, f"drop_{name}") * (batch.weight_B.cpu() if MODALITIES[name].mask.shown_if_rare else 1.0)
        for name in n_tokens
    }
    exclusive = [name for name in n_tokens if MODALITIES[name].mask.exclusive]
    if len(exclusive) > 1:
        # One draw for all of them, so that at most one is hidden: the last is hidden by the upper end of [0, 1), the
        # others by consecutive intervals from 0.
        draw_B, low = draw(), 0.0
        *others, last = exclusive
        hidden = {last: draw_B >= 1 - drop_B[last]}
        for name in others:
            hidden[name] = (draw_B >= low) & (draw_B < low + drop_B[name])
            low = low + drop_B[name]
        for name in exclusive:
            has_other_B = torch.stack([present[other] for other in exclusive if other != name]).any(0)
            shown[name] = present[name] & ~(hidden[name] & has_other_B)
    for name in n_tokens:
        shown_others = [shown_B for other, shown_B in shown.items() if other != name]
        if name not in exclusive and shown_others:
            shown[name] = shown[name] & ~((draw() < drop_B[name]) & torch.stack(shown_others).any(0))
    return shown


def visible_fraction(visible: Visible) -> Tensor:
    """Fraction of visible tokens of each modality, from 0 to 1: (B, modalities)."""
    return torch.stack([visible_BT.float().mean(-1) for visible_BT in visible.values()], -1)


def shown_set(visible: Visible) -> Tensor:
    """The set of modalities with visible tokens, as a number: bit m is the m-th modality; (B,)."""
    shown_BM = visible_fraction(visible) > 0
    return (shown_BM * 2 ** torch.arange(shown_BM.shape[1], device=shown_BM.device)).sum(-1)


InputMode = Literal["image", "spectrum", "both"]
INPUT_MODES: dict[InputMode, tuple[str, ...]] = {
    "image": ("image",),
    "spectrum": ("spectrum",),
    "both": ("image", "spectrum"),
}
"""The standard input modes for which redshifts are scored, and the modalities visible in each."""


def modes_of(modalities: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The input modes that are scored for a model of these modalities.

    The standard ones, and each further modality alone and together with the image.
    """
    modes: dict[str, tuple[str, ...]] = {
        mode: shown for mode, shown in INPUT_MODES.items() if set(shown) <= set(modalities)
    }
    standard = {name for shown in INPUT_MODES.values() for name in shown}
    for name in modalities:
        if name not in standard:
            modes[name] = (name,)
            if "image" in modalities:
                modes[f"image and {name}"] = ("image", name)
    return modes


def fixed_visible(
    batch: Batch,
    n_tokens: Mapping[str, int],
    shown: Collection[str],
    ratio: Mapping[str, float] | float = 0.0,
    generator: torch.Generator | None = None,
) -> Visible:
    """The masks of one batch at inference.

    Args:
        n_tokens: of each modality of the model.
        shown: modalities that are not hidden as a whole.
        ratio: masked fraction of their tokens, one for all or by modality.
    """
    generator = generator or torch.Generator()
    none_B = torch.zeros_like(batch.redshift_known_B)
    return {
        name: random_visible(
            batch.present[name] if name in shown else none_B,
            # Drawn on the generator's device, so that a seed gives the same masks on any device.
            torch.rand(len(batch), n, generator=generator, device=generator.device).to(none_B.device),
            ratio.get(name, 0.0) if isinstance(ratio, Mapping) else ratio,
        )
        for name, n in n_tokens.items()
    }
