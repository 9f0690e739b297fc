"""What a modality is: the one place that knows how its measurements become tokens and come back.

Each modality is one file in mmae/model/modalities, found there by itself: a class as below, and `MODALITY`, which
names it. Survey reader, masks, encoder, decoder and losses ask these methods and know no modality by name.
Legend of suffixes: batch.py; T tokens of this modality, V its visible ones, E decoder width.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from mmae.model.batch import Batch, InputSpec


class Modality(Protocol):
    """A torch module that turns one kind of measurement into tokens.

    Attributes:
        name: of the modality, in configurations, masks and metrics.
        Config: its dataclass, with at least `use` and `weight` (of its loss).
        n_tokens: T.
        query_TE: what the decoder asks for: one query for each token.
    """

    name: ClassVar[str]
    Config: ClassVar[type]
    n_tokens: int
    query_TE: nn.Parameter

    def __init__(self, config: Any, spec: InputSpec, width: int, decoder_width: int):
        """Raises ValueError where the configuration does not fit the survey."""

    @staticmethod
    def columns(bands: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        """Name in `Batch.values` -> the survey's columns: one tensor column, or numbers to be put side by side."""

    @staticmethod
    def shapes(spec: InputSpec) -> dict[str, tuple[int, ...]]:
        """Name in `Batch.values` -> shape for one galaxy."""

    def prepare(self, batch: Batch, visible_BT: Tensor) -> Any:
        """The measurements as normalised patches: whatever the methods below need.

        What is visible must not depend on what is hidden, by no mean or scale either.
        """

    def embed(self, prepared: Any, order_BV: Tensor) -> Tensor:
        """The tokens at the given places, with their positions: (B, V, D)."""

    def predict(self, decoded_BTE: Tensor) -> Tensor:
        """From decoded queries to patches."""

    def loss(self, predicted_BTP: Tensor, prepared: Any, is_target_BT: Tensor) -> Tensor:
        """How far the patches of target tokens are off: one number, 0 without targets."""

    def restore(self, predicted_BTP: Tensor, prepared: Any) -> Tensor:
        """Patches in the units and the shape of the measurement."""

    def seen(self, visible_BT: Tensor) -> Tensor:
        """Which samples lie in visible tokens, bool."""
