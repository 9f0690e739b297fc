"""Interface of a modality: a kind of measurement, its conversion to tokens and back.

Each modality is one file in mmae/model/modalities, imported automatically: a subclass of `Modality`, and `MODALITY`
bound to it. Its options and its mask are declared without torch, in part_configs.py and config.py; a file outside the
package declares its own. Survey reader, masks, encoder, decoder and losses use this interface only, for any modality.
Legend of suffixes: batch.py; T tokens of this modality, V its visible ones, W those of a whole measurement, N galaxies
that show one, E decoder width, Z fine bins of ln(1+z).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mmae.model.batch import Batch, InputSpec
from mmae.model.draws import Draws
from mmae.model.indexing import add_rows, take_rows, visible_order
from mmae.model.part_configs import MaskRule, RedshiftConfig
from mmae.model.view import Alike, View


@dataclass(frozen=True)
class Sizes:
    """Sizes that all modalities of a model share."""

    width: int  # D
    decoder_width: int  # E
    heads: int
    redshift: RedshiftConfig


@dataclass
class Evidence:
    """Redshift information from the visible part of a modality, computed without the encoder.

    Attributes:
        row_B: rows of the batch in which the modality is visible; the other attributes have these rows, in this order.
        log_odds_BZ: of ln(1+z), added to the logits of the redshift head.
        features: input of `complete`.
    """

    row_B: Tensor
    log_odds_BZ: Tensor
    features: Any


def patch_head(decoder_width: int, n_values: int) -> nn.Sequential:
    """Linear layer from a decoded query to the values of its patch, initialised to zero.

    Random initial weights would leave a pixel pattern in all reconstructions for thousands of steps.
    """
    linear = nn.Linear(decoder_width, n_values)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.LayerNorm(decoder_width), linear)


def whole_tokens(modality: Modality, prepared: Any, view: View) -> Tensor | None:
    """The tokens of `Modality.embed_whole` of all galaxies that show all tokens, (B, W, D), zeros for the others.

    One call for all of them: batch normalisation of a few galaxies would be noisy.

    Returns:
        None if no galaxy shows all tokens, or the modality does not embed them otherwise.
    """
    row_N = view.whole.get(modality.name)
    token_NWD = None if row_N is None else modality.embed_whole(prepared, row_N)
    if row_N is None or token_NWD is None:
        return None
    return add_rows(token_NWD.new_zeros(len(view), *token_NWD.shape[1:]), row_N, token_NWD)


def embed_visible(
    modality: Modality, prepared: Any, visible_BT: Tensor, group: Alike, whole_BWD: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The tokens of a group that shows the modality, (B, V, D), the mask of valid ones, (B, V), and their indices.

    The mask is False at padding. The indices (B, V) are None for tokens of `embed_whole`.

    Args:
        visible_BT: of all galaxies of the batch.
        whole_BWD: output of `whole_tokens`.
    """
    if whole_BWD is not None and modality.name in group.whole:
        token_BWD = take_rows(whole_BWD, group.row_B)
        return token_BWD, torch.ones_like(token_BWD[..., 0], dtype=torch.bool), None
    order_BV = visible_order(visible_BT[group.row_B], group.n_visible[modality.name])
    valid_BV = visible_BT[group.row_B].gather(1, order_BV)
    return modality.embed(prepared, group.row_B, order_BV), valid_BV, order_BV


class Modality(nn.Module):
    """Converts one kind of measurement to tokens, and tokens back to measurements.

    The type of prepared and of predicted values is a subclass's own.

    Attributes:
        name: of the modality, in configurations, masks and metrics.
        Config: its dataclass, with at least `use` and `weight` (of its loss).
        mask: how it is masked in training.
        optional: names in `Batch.values` without which a galaxy still has the modality.
        config: as given.
        n_tokens: T.
        query_TE: decoder queries, one per token.
    """

    name: ClassVar[str]
    Config: ClassVar[type]
    mask: ClassVar[MaskRule] = MaskRule()
    optional: ClassVar[tuple[str, ...]] = ()
    config: Any
    n_tokens: int
    query_TE: nn.Parameter

    def __init__(self, config: Any, spec: InputSpec, sizes: Sizes):
        """Raises ValueError where the configuration does not fit the survey."""
        super().__init__()
        self.config, self.spec = config, spec

    @staticmethod
    def columns(bands: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        """Name in `Batch.values` -> the survey's columns: one tensor column, or scalar columns to be stacked."""
        raise NotImplementedError

    @staticmethod
    def shapes(spec: InputSpec) -> dict[str, tuple[int, ...]]:
        """Name in `Batch.values` -> shape for one galaxy."""
        raise NotImplementedError

    @staticmethod
    def augment(values: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Randomly transformed values of a training batch, by name in `Batch.values`; labels must stay valid."""
        return {}

    def prepare(self, batch: Batch, visible_BT: Tensor) -> Any:
        """Normalised patches and whatever else the methods below need.

        The visible part must not depend on hidden samples, also not through a mean or scale.
        """
        raise NotImplementedError

    def embed(self, prepared: Any, row_B: Tensor, order_BV: Tensor) -> Tensor:
        """Tokens with position embeddings, for the given galaxies and token indices: (B, V, D)."""
        raise NotImplementedError

    def embed_whole(self, prepared: Any, row_B: Tensor) -> Tensor | None:
        """Tokens (B, W, D) of galaxies that show all tokens, where these are embedded otherwise; None: by `embed`."""
        return None

    def evidence(self, prepared: Any, visible_BT: Tensor, row_N: Tensor) -> Evidence | None:
        """Redshift information from the visible part, without the encoder; None if the modality has none.

        Args:
            row_N: the galaxies that show the modality; none, if only other workers have such galaxies.
        """
        return None

    def predict(self, decoded_BTE: Tensor) -> Any:
        """Decoded queries to patches, or to the input of `complete`, `loss` and `restore`."""
        raise NotImplementedError

    def complete(
        self, predicted: Any, evidence: Evidence, shift_B: Tensor, certainty_B: Tensor, summary_BD: Tensor
    ) -> Any:
        """Add to the predictions what follows from the redshift.

        Args:
            predicted: output of `predict`.
            evidence: output of `evidence`.
            shift_B: ln(1+z) of every galaxy.
            certainty_B: probability of that redshift, from 0 to 1.
            summary_BD: one encoded token per galaxy.
        """
        return predicted

    def loss(self, predicted: Any, prepared: Any, is_target_BT: Tensor) -> Tensor:
        """Reconstruction loss of the target tokens: a scalar, 0 without targets."""
        raise NotImplementedError

    def restore(self, predicted: Any, prepared: Any) -> Tensor:
        """The prediction in the units and the shape of the measurement."""
        raise NotImplementedError

    def visible_samples(self, visible_BT: Tensor) -> Tensor:
        """Mask of the samples in visible tokens, bool, in the shape of the measurement."""
        raise NotImplementedError
