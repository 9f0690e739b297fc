"""Gather and scatter of tokens and galaxies, with gradients that repeat to the last bit.

Legend of suffixes: batch.py; T tokens of a modality, V its visible ones.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
