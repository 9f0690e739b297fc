"""Which tokens the encoder may see. Legend of suffixes: batch.py; T tokens of a modality.

Presence and mask are two things. A modality that was not measured is absent: no token
of it is visible and none is a target. A masked token was measured and is hidden: it is a target.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mmae.model.batch import Batch


@dataclass(frozen=True)
class MaskConfig:
    """How much the encoder sees while it learns."""

    image_ratio: tuple[float, float] = (0.75, 0.75)
    """Fraction of image tokens masked: drawn for every galaxy from this range, so that batch normalisation learns from
    all of it at once."""
    spectrum_ratio: tuple[float, float] = (0.75, 0.75)
    """Fraction of spectrum tokens masked: drawn for every batch from this range, so that all have as many tokens."""
    drop_image: float = 0.0
    """Probability that the whole image is hidden (never together with the spectrum)."""
    drop_spectrum: float = 0.5
    """Probability that the whole spectrum is hidden."""
    drop_unit: Literal["sample", "batch"] = "sample"
    """Hide whole modalities galaxy by galaxy, or for the batch at once (the paper's way)."""
    whole_image: float = 0.0
    """Probability that nothing of an image is masked, whatever the range: how a survey is read in the end. For a galaxy
    that has nothing else, no redshift either, the range holds always: from a whole image there would be nothing to learn."""
    other_ratio: tuple[float, float] = (0.0, 0.75)
    """Fraction of tokens masked of any other modality: drawn for every batch."""
    drop_other: float = 0.5
    """Probability that any other modality is hidden as a whole, each by itself, where something else is seen."""

    def __post_init__(self) -> None:
        for name in ("image_ratio", "spectrum_ratio", "other_ratio"):
            low, high = getattr(self, name)
            if not 0 <= low <= high < 1:
                raise ValueError(f"{name} is ({low}, {high}): a mask ratio is a range low <= high inside [0, 1).")
        for name in ("whole_image", "drop_image", "drop_spectrum", "drop_other"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: a probability lies in [0, 1].")
        if self.drop_image + self.drop_spectrum > 1:
            raise ValueError("drop_image + drop_spectrum exceeds 1: a galaxy keeps one modality.")

    def ratio(self, modality: str) -> tuple[float, float]:
        """The range from which the masked fraction of a modality is drawn."""
        return {"image": self.image_ratio, "spectrum": self.spectrum_ratio}.get(modality, self.other_ratio)


Visible = dict[str, Tensor]
"""The tokens that the encoder sees, by modality: (B, T) bool."""


def random_visible(present_B: Tensor, n_tokens: int, mask_ratio: float | Tensor, generator: torch.Generator) -> Tensor:
    """Hide round(mask_ratio * n_tokens) tokens of every present galaxy, uniformly at random.

    Args:
        mask_ratio: one for all, or (B,) on the generator's device.

    Returns (B, n_tokens) bool on the device of `present_B`; all False where absent.
    The draw is made on the generator's device, so that a seed gives the same masks anywhere.
    """
    n_masked_B1 = (torch.as_tensor(mask_ratio) * n_tokens).round().reshape(-1, 1)
    noise_BT = torch.rand(len(present_B), n_tokens, generator=generator, device=generator.device)
    rank_BT = noise_BT.argsort(-1).argsort(-1)
    return (rank_BT >= n_masked_B1).to(present_B.device) & present_B[:, None]


def draw_visible(batch: Batch, n_tokens: Mapping[str, int], config: MaskConfig, generator: torch.Generator) -> Visible:
    """The masks of one training batch. A galaxy with one modality keeps it.

    Args:
        n_tokens: of each modality that the model reads.
    """

    def ratio(name: str) -> Tensor:
        low, high = config.ratio(name)
        n_draws = len(batch) if name == "image" else 1
        return low + (high - low) * torch.rand(n_draws, generator=generator, device=generator.device)

    ratios = {name: ratio(name) for name in n_tokens}
    if config.whole_image and "image" in ratios:
        whole_B = torch.rand(len(batch), generator=generator, device=generator.device) < config.whole_image
        n_present_B = torch.stack([batch.present[name] for name in n_tokens]).sum(0)
        teaches_B = batch.redshift_known_B | (n_present_B > 1)
        ratios["image"] = ratios["image"].where(~(whole_B & teaches_B.to(whole_B.device)), 0.0)
    n_draws = len(batch) if config.drop_unit == "sample" else 1

    def draw() -> Tensor:
        draw_B = torch.rand(n_draws, generator=generator, device=generator.device)
        return draw_B.expand(len(batch)).to(batch.redshift_B.device)

    shown = {name: batch.present[name] for name in n_tokens}
    if {"image", "spectrum"} <= shown.keys():
        draw_B, image_B, spectrum_B = draw(), shown["image"], shown["spectrum"]
        shown["image"] = image_B & ~((draw_B < config.drop_image) & spectrum_B)
        shown["spectrum"] = spectrum_B & ~((draw_B >= 1 - config.drop_spectrum) & image_B)
    for name in n_tokens:
        others = [seen_B for other, seen_B in shown.items() if other != name]
        if name not in ("image", "spectrum") and others:
            shown[name] = shown[name] & ~((draw() < config.drop_other) & torch.stack(others).any(0))
    return {name: random_visible(shown[name], n, ratios[name], generator) for name, n in n_tokens.items()}


def visible_share(visible: Visible) -> Tensor:
    """How much of each modality is visible, from 0 to 1: (B, modalities)."""
    return torch.stack([visible_BT.float().mean(-1) for visible_BT in visible.values()], -1)


def shown_set(visible: Visible) -> Tensor:
    """The modalities of which something is visible, as a number: bit m for the one at place m; (B,)."""
    shown_BM = visible_share(visible) > 0
    return (shown_BM * 2 ** torch.arange(shown_BM.shape[1], device=shown_BM.device)).sum(-1)


InputMode = Literal["image", "spectrum", "both"]
MODES: dict[InputMode, tuple[str, ...]] = {
    "image": ("image",),
    "spectrum": ("spectrum",),
    "both": ("image", "spectrum"),
}
"""The usual ways of looking at a galaxy, and the modalities that each shows."""


def modes_of(modalities: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The ways in which a model that reads these modalities can look at a galaxy.

    The usual ones, and for any other modality it alone and together with the image.
    """
    modes = {mode: shown for mode, shown in MODES.items() if set(shown) <= set(modalities)}
    for name in modalities:
        if name not in ("image", "spectrum"):
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
    """What the encoder sees at inference.

    Args:
        shown: modalities that are not hidden as a whole.
        ratio: masked fraction of those, one for all or by modality.
    """
    generator = generator or torch.Generator()
    none_B = torch.zeros_like(batch.redshift_known_B)
    return {
        name: random_visible(
            batch.present[name] if name in shown else none_B,
            n,
            ratio.get(name, 0.0) if isinstance(ratio, Mapping) else ratio,
            generator,
        )
        for name, n in n_tokens.items()
    }


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


def take(value: Tensor, row_B: Tensor) -> Tensor:
    """Some galaxies of a batch; `value[row_B]` for values with a gradient, see `placed`."""
    return value.gather(0, _whole_rows(row_B, value))


def add_rows(value: Tensor, row_B: Tensor, added: Tensor) -> Tensor:
    """The values of a batch, with something added to those of some galaxies."""
    return value.scatter_add(0, _whole_rows(row_B, value), added)


def _whole_rows(row_B: Tensor, value: Tensor) -> Tensor:
    """The numbers of some galaxies, repeated for every value that one has."""
    return row_B.reshape(-1, *[1] * (value.ndim - 1)).expand(-1, *value.shape[1:])


def pick(tokens_BTP: Tensor, order_BV: Tensor) -> Tensor:
    """The tokens at the given places: (B, T, P) -> (B, V, P)."""
    return tokens_BTP.gather(1, order_BV[..., None].expand(-1, -1, tokens_BTP.shape[-1]))


def placed(position_TD: Tensor, order_BV: Tensor) -> Tensor:
    """The positions of the tokens at the given places: (B, V, D)."""
    # Not position_TD[order_BV]: the gradient of indexing adds up in the order in which
    # threads happen to come, and a run would no longer repeat to the last bit.
    return pick(position_TD.expand(len(order_BV), -1, -1), order_BV)
