"""The split of a galaxy, from a hash of its sky cell or of its group.

Neighbours on the sky are not independent: they share seeing, sky residuals and depth, appear in each
other's images, and belong to the same clusters at one redshift. Training on a galaxy therefore reveals
something about its neighbours. So the splits are made of whole sky cells, not of single galaxies.

Shape suffix: N rows.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmae.astro.healpix import on_sky, sky_cell
from mmae.core.errors import InputError
from mmae.survey.schema import SPLITS

DEFAULT_FRACTIONS = (0.70, 0.15, 0.15)  # train, val, test, as in the GalaxiesML-Spectra paper
FAR_FROM_FRACTION = 0.10  # with 519 cells the splits differ from their fractions by up to 0.05
LARGEST_NSIDE = 1 << 29  # larger pixel numbers do not fit into 64 bits
_LINES = 1 << 20  # rows hashed at once, to bound the memory


def check_fractions(fractions: tuple[float, ...]) -> None:
    """Raise InputError unless there are three fractions in 0..1 that sum to 1."""
    advice = "give train, val and test fractions that sum to 1, such as 0.7 0.15 0.15"
    if len(fractions) != len(SPLITS):
        raise InputError(f"split fractions: {len(fractions)} given, expected 3; {advice}.")
    if not all(math.isfinite(f) and 0 <= f <= 1 for f in fractions):
        raise InputError(f"split fractions: {fractions} are not all between 0 and 1; {advice}.")
    if abs(sum(fractions) - 1) > 1e-6:
        raise InputError(f"split fractions: {fractions} sum to {sum(fractions):.6g}; {advice}.")


def check_nside(nside: int) -> None:
    """Raise InputError unless nside is 0 (no cells) or valid for a HEALPix grid."""
    if isinstance(nside, bool) or not isinstance(nside, int) or not 0 <= nside <= LARGEST_NSIDE:
        raise InputError(
            f"split nside: {nside!r} is not an integer from 0 to 2^29; give 512 for cells of 6.9 arcmin, or 0 to "
            f"divide by group."
        )


def splitting_units(
    ra_N: Sequence[float | None], dec_N: Sequence[float | None], group_N: Sequence[str], nside: int
) -> list[str]:
    """The unit that gets one split, for each row: its sky cell, or its group if it has no position on the sky.

    The members of one group may be in different cells and chunks; `duplicates.common_splits` gives them one split
    when all rows are known.

    Args:
        ra_N, dec_N: ICRS degrees, None where unknown.
        nside: of the HEALPix cells; 0: the unit of every row is its group.
    """
    if nside == 0:
        return list(group_N)
    ra_N, dec_N = (np.array([np.nan if x is None else x for x in values], np.float64) for values in (ra_N, dec_N))
    placed_N = on_sky(ra_N, dec_N)
    cell_N = sky_cell(np.where(placed_N, ra_N, 0), np.where(placed_N, dec_N, 0), nside)
    return [
        f"healpix-{nside}-{cell}" if placed else group
        for cell, placed, group in zip(cell_N, placed_N, group_N, strict=True)
    ]


def assign_split(unit: str, fractions: tuple[float, float, float], seed: int) -> str:
    """The split, "train", "val" or "test", of all rows of one unit (see `splitting_units`).

    It is a hash of the unit and the seed, so it does not depend on the order
    of the rows, the process or the rest of the survey: a survey that
    grows keeps the split of every cell, and two surveys of one sky with the same options
    train on the same cells. Python's `hash` differs between processes.

    Raises:
        InputError: see `check_fractions`.
    """
    check_fractions(fractions)
    digest = hashlib.blake2b(f"{seed}:{unit}".encode(), digest_size=8).digest()
    u = (int.from_bytes(digest, "big") >> 11) / 2**53  # 53 bits: uniform in [0, 1), never 1
    train, val, test = fractions
    if u < train:
        return "train"
    # Rounding may leave train + val just below 1; an empty test split must stay empty.
    return "val" if u < train + val or test == 0 else "test"


def far_from_fractions(rows: Mapping[str, int], fractions: Sequence[float]) -> list[str]:
    """The splits that are empty, or whose share of the rows is far from their fraction.

    Args:
        rows: number of rows by split.
    """
    total = max(sum(rows.values()), 1)
    found = []
    for split, wanted in zip(SPLITS, fractions, strict=True):
        share = rows[split] / total
        if abs(share - wanted) > FAR_FROM_FRACTION or not wanted / 2 <= share <= wanted * 2:
            found.append(split)
    return found


def hash_splits(object_id: pa.ChunkedArray, split: pa.ChunkedArray) -> str:
    """Hash of all pairs of object id and split, independent of the order of the rows.

    Args:
        object_id, split: strings (N,).
    """
    long = pa.large_string()  # 32-bit offsets are limited to 2 GB of text
    lines = pc.binary_join_element_wise(object_id.cast(long), split.cast(long), pa.scalar("\t", long))
    lines = lines.take(pc.sort_indices(lines))
    digest = hashlib.blake2b(digest_size=16)
    for start in range(0, len(lines), _LINES):
        digest.update("".join(f"{line}\n" for line in lines.slice(start, _LINES).to_pylist()).encode())
    return digest.hexdigest()
