"""What a modality is: the one place that knows how its measurements become tokens and come back.

Each modality is one file in mmae/model/modalities, found there by itself: a class as below, and `MODALITY`, which
names it. Survey reader, masks, encoder, decoder and losses ask these methods and know no modality by name.
Legend of suffixes: batch.py; T tokens of this modality, V its visible ones, E decoder width, Z fine bins of ln(1+z).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mmae.model.batch import Batch, InputSpec
from mmae.model.redshift import RedshiftConfig


@dataclass(frozen=True)
class Sizes:
    """What all modalities of a model share."""

    width: int  # D
    decoder_width: int  # E
    redshift: RedshiftConfig


@dataclass(frozen=True)
class MaskRule:
    """How a modality is masked in training: defaults of its fields in `MaskConfig`, and their meaning.

    Attributes:
        ratio: range of the masked fraction of tokens.
        drop: probability that the modality is hidden as a whole where another is visible.
        per_galaxy: draw the ratio for every galaxy, not for every batch. With one ratio for a batch all galaxies
            have as many tokens; batch normalisation needs ratios of the whole range in every batch.
        exclusive: one draw decides which of the exclusive modalities of a galaxy is hidden, so that never two are.
        whole: default of `whole_NAME`, the probability that nothing is masked; None: no such option.
    """

    ratio: tuple[float, float] = (0.0, 0.75)
    drop: float = 0.5
    per_galaxy: bool = False
    exclusive: bool = False
    whole: float | None = None


@dataclass
class Evidence:
    """What the visible part of a modality says of the redshift by itself, without the encoder.

    Attributes:
        row_B: galaxies of the batch that show the modality; all else is of these, in this order.
        log_odds_BZ: of ln(1+z), to be added to what the encoder says.
        seen: whatever `complete` needs.
    """

    row_B: Tensor
    log_odds_BZ: Tensor
    seen: Any


def patch_head(decoder_width: int, n_values: int) -> nn.Sequential:
    """From a decoded query to the values of its patch: zeros before anything is learned.

    Random weights would leave their pattern, pixel by pixel, in all reconstructions for a long time.
    """
    linear = nn.Linear(decoder_width, n_values)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.LayerNorm(decoder_width), linear)


class Modality(nn.Module):
    """Turns one kind of measurement into tokens, and tokens back.

    Attributes:
        name: of the modality, in configurations, masks and metrics.
        Config: its dataclass, with at least `use` and `weight` (of its loss).
        mask: how it is masked in training.
        config: as given.
        n_tokens: T.
        query_TE: what the decoder asks for: one query for each token.
    """

    name: ClassVar[str]
    Config: ClassVar[type]
    mask: ClassVar[MaskRule] = MaskRule()
    config: Any
    n_tokens: int
    query_TE: nn.Parameter

    def __init__(self, config: Any, spec: InputSpec, sizes: Sizes):
        """Raises ValueError where the configuration does not fit the survey."""
        super().__init__()
        self.config, self.spec = config, spec

    @staticmethod
    def columns(bands: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        """Name in `Batch.values` -> the survey's columns: one tensor column, or numbers to be put side by side."""
        raise NotImplementedError

    @staticmethod
    def shapes(spec: InputSpec) -> dict[str, tuple[int, ...]]:
        """Name in `Batch.values` -> shape for one galaxy."""
        raise NotImplementedError

    @staticmethod
    def augment(values: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Changed values of a training batch, by name in `Batch.values`: transformations that leave a galaxy what it is."""
        return {}

    def prepare(self, batch: Batch, visible_BT: Tensor) -> Any:
        """The measurements as normalised patches: whatever the methods below need.

        What is visible must not depend on what is hidden, by no mean or scale either.
        """
        raise NotImplementedError

    def embed(self, prepared: Any, row_B: Tensor, order_BV: Tensor) -> Tensor:
        """The tokens of some galaxies at the given places, with their positions: (B, V, D)."""
        raise NotImplementedError

    def evidence(self, prepared: Any, visible_BT: Tensor) -> Evidence | None:
        """What the visible part tells of the redshift by itself; None if nothing."""

    def predict(self, decoded_BTE: Tensor) -> Tensor:
        """From decoded queries to patches, or to what `loss` and `restore` make patches of."""
        raise NotImplementedError

    def complete(
        self, predicted_BTP: Tensor, evidence: Evidence, shift_B: Tensor, certainty_B: Tensor, summary_BD: Tensor
    ) -> Tensor:
        """The patches with what only the redshift tells.

        Args:
            shift_B: ln(1+z) of every galaxy.
            certainty_B: how certain it is, from 0 to 1.
            summary_BD: each galaxy as one encoded token.
        """
        return predicted_BTP

    def loss(self, predicted_BTP: Tensor, prepared: Any, is_target_BT: Tensor) -> Tensor:
        """How far the patches of target tokens are off: one number, 0 without targets."""
        raise NotImplementedError

    def restore(self, predicted_BTP: Tensor, prepared: Any) -> Tensor:
        """Patches in the units and the shape of the measurement."""
        raise NotImplementedError

    def seen(self, visible_BT: Tensor) -> Tensor:
        """Which samples lie in visible tokens, bool."""
        raise NotImplementedError
