"""Gather and scatter of tokens and galaxies, with bitwise reproducible gradients.

The gradient of advanced indexing (`x[index]`) accumulates in thread order on a CPU, so that runs would differ in the
last bits; the gradients of `gather` and `scatter_add` used here do not.
Legend of suffixes: batch.py; T tokens of a modality, V its visible ones.
"""

from __future__ import annotations

import torch
from torch import Tensor


def visible_order(visible_BT: Tensor, n_visible: int) -> Tensor:
    """Indices of the visible tokens, (B, V). With fewer than V, the rest are hidden ones.

    Args:
        n_visible: V.
    """
    return visible_BT.to(torch.uint8).argsort(dim=-1, descending=True, stable=True)[:, :n_visible]


def take_rows(value: Tensor, row_B: Tensor) -> Tensor:
    """`value[row_B]`, for values that require a gradient."""
    return value.gather(0, _expand_rows(row_B, value))


def add_rows(value: Tensor, row_B: Tensor, added: Tensor) -> Tensor:
    """A copy of `value` with `added` added to the rows `row_B`."""
    return value.scatter_add(0, _expand_rows(row_B, value), added)


def _expand_rows(row_B: Tensor, value: Tensor) -> Tensor:
    """Row numbers as an index tensor with the trailing shape of `value`."""
    return row_B.reshape(-1, *[1] * (value.ndim - 1)).expand(-1, *value.shape[1:])


def gather_tokens(tokens_BTP: Tensor, order_BV: Tensor) -> Tensor:
    """The tokens at the given indices: (B, T, P) -> (B, V, P)."""
    return tokens_BTP.gather(1, order_BV[..., None].expand(-1, -1, tokens_BTP.shape[-1]))


def add_tokens(tokens_BTP: Tensor, order_BV: Tensor, added_BVP: Tensor) -> Tensor:
    """A copy of `tokens_BTP` with `added_BVP` added to the tokens at the given indices."""
    return tokens_BTP.scatter_add(1, order_BV[..., None].expand_as(added_BVP), added_BVP)


def gather_positions(position_TD: Tensor, order_BV: Tensor) -> Tensor:
    """`position_TD[order_BV]`, the position embeddings of the tokens at the given indices: (B, V, D)."""
    return gather_tokens(position_TD.expand(len(order_BV), -1, -1), order_BV)
