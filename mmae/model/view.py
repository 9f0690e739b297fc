"""What the encoder sees of a batch: the masks, and what follows from them and sets the shapes of tensors.

Computed on the CPU before the step: a GPU would have to be waited for whenever such a number is read from it.
Legend of suffixes: batch.py; T tokens of a modality, M modalities, G galaxies of all workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mmae.model.batch import to_device
from mmae.model.indexing import take_rows

Visible = dict[str, Tensor]
"""The tokens that are visible to the encoder, by modality: (B, T) bool."""


@dataclass(frozen=True)
class Alike:
    """Galaxies with the same visible modalities: encoded together, without padding for those they do not show.

    Attributes:
        row_B: their rows in the view, in ascending order. There may be none: every worker encodes the same groups, so
            that all take part in the sums over the workers.
        n_visible: the largest number of visible tokens of each modality that they show.
        whole: modalities of which all tokens are visible.
        padded: whether some galaxies have fewer visible tokens than others.
    """

    row_B: Tensor
    n_visible: Mapping[str, int]
    whole: frozenset[str]
    padded: bool


@dataclass(frozen=True)
class View:
    """The masks of galaxies with what follows from them.

    Attributes:
        visible: the masks.
        fraction_BM: visible fraction of the tokens of each modality.
        groups: of galaxies that are encoded together.
        place_B: of each galaxy among those of all groups, one group after the other.
        showing, whole: rows of the galaxies that show some and all tokens of a modality; none of modalities that no
            galaxy of any worker shows so.
        of_B: the galaxies in the batch; None: all.
    """

    visible: Visible
    fraction_BM: Tensor
    groups: tuple[Alike, ...]
    place_B: Tensor
    showing: Mapping[str, Tensor]
    whole: Mapping[str, Tensor]
    of_B: Tensor | None

    def __len__(self) -> int:
        return len(self.place_B)

    def to(self, device: torch.device) -> View:
        def moved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: to_device(tensor, device) for name, tensor in tensors.items()}

        return replace(
            self,
            visible=moved(self.visible),
            fraction_BM=to_device(self.fraction_BM, device),
            groups=tuple(replace(group, row_B=to_device(group.row_B, device)) for group in self.groups),
            place_B=to_device(self.place_B, device),
            showing=moved(self.showing),
            whole=moved(self.whole),
            of_B=None if self.of_B is None else to_device(self.of_B, device),
        )

    def ungroup(self, parts: Sequence[Tensor]) -> Tensor:
        """Concatenate values of the groups, in the batch's order of galaxies."""
        return take_rows(torch.cat(list(parts)), self.place_B)


def count_visible(visible: Visible) -> np.ndarray:
    """Number of visible tokens, (B, M). Waits for a GPU if the masks are there."""
    return torch.stack([tokens_BT.sum(-1) for tokens_BT in visible.values()], -1).cpu().numpy()


def view_of(visible: Visible, count_GM: np.ndarray | None = None, of: np.ndarray | None = None) -> View:
    """The view of masks, on the CPU.

    Args:
        count_GM: `count_visible` of the galaxies of all workers; None: there is one worker.
        of: rows of the galaxies in the batch; None: all of it.
    """
    names, count_BM = list(visible), count_visible(visible)
    count_GM = count_BM if count_GM is None else count_GM
    n_tokens_M = np.array([tokens_BT.shape[1] for tokens_BT in visible.values()])

    def sets(count_NM: np.ndarray) -> np.ndarray:
        """Numbers of the sets of modalities that galaxies show, and of those that they show whole: (N,)."""
        bits_NM = np.concatenate([count_NM > 0, count_NM == n_tokens_M], 1)
        return bits_NM @ (1 << np.arange(2 * len(names)))

    def rows(is_in_BM: np.ndarray, is_in_GM: np.ndarray) -> dict[str, Tensor]:
        return {
            name: torch.from_numpy(np.flatnonzero(is_in_BM[:, m]))
            for m, name in enumerate(names)
            if is_in_GM[:, m].any()
        }

    set_B, set_G = sets(count_BM), sets(count_GM)
    row_B_of_groups, groups = [], []
    for which in np.unique(set_G):
        row_B, count_NM = np.flatnonzero(set_B == which), count_GM[set_G == which]
        n_visible_M = count_NM.max(0)
        row_B_of_groups.append(row_B)
        groups.append(
            Alike(
                row_B=torch.from_numpy(row_B),
                n_visible={name: int(n) for name, n in zip(names, n_visible_M, strict=True) if n},
                whole=frozenset(name for name, n, T in zip(names, n_visible_M, n_tokens_M, strict=True) if n == T),
                padded=bool((count_NM != n_visible_M).any()),
            )
        )
    return View(
        visible=visible,
        fraction_BM=torch.from_numpy((count_BM / n_tokens_M).astype(np.float32)),
        groups=tuple(groups),
        place_B=torch.from_numpy(np.concatenate(row_B_of_groups).argsort()),
        showing=rows(count_BM > 0, count_GM > 0),
        whole=rows(count_BM == n_tokens_M, count_GM == n_tokens_M),
        of_B=None if of is None else torch.from_numpy(of),
    )


def as_view(visible: Visible | View, modalities: Iterable[str]) -> View:
    """The view of the masks of these modalities, on the device of the masks; a view as it is."""
    if isinstance(visible, View):
        return visible
    masks = {name: visible[name] for name in modalities}
    return view_of(masks).to(next(iter(masks.values())).device)
