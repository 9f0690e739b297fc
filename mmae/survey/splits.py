"""Which split a galaxy belongs to: decided by its group alone, the same everywhere."""

from __future__ import annotations

import hashlib
import math

from mmae.errors import InputError
from mmae.survey.schema import SPLITS

DEFAULT_FRACTIONS = (0.70, 0.15, 0.15)  # train, val, test, as in the GalaxiesML-Spectra paper


def check_fractions(fractions: tuple[float, ...]) -> None:
    """Raise InputError unless three fractions in 0..1 sum to 1 and leave something to train on."""
    mend = "give train, val and test fractions that sum to 1, such as 0.7 0.15 0.15"
    if len(fractions) != len(SPLITS):
        raise InputError(f"split fractions: {len(fractions)} given, expected 3; {mend}.")
    if not all(math.isfinite(f) and 0 <= f <= 1 for f in fractions):
        raise InputError(f"split fractions: {fractions} are not all between 0 and 1; {mend}.")
    if abs(sum(fractions) - 1) > 1e-6:
        raise InputError(f"split fractions: {fractions} sum to {sum(fractions):.6g}; {mend}.")
    if fractions[0] == 0:
        raise InputError(f"split fractions: nothing is left to train on; {mend}.")


def assign_split(group_id: str, fractions: tuple[float, float, float], seed: int) -> str:
    """The split, "train", "val" or "test", of all rows of one group.

    A hash of the group and the seed decides, so the answer depends neither on the order
    of the rows, nor on the process, nor on what else is in the survey: a survey that
    grows keeps the split of every galaxy it had. Python's own `hash` differs between
    processes and would not.

    Raises:
        InputError: see `check_fractions`.
    """
    check_fractions(fractions)
    digest = hashlib.blake2b(f"{seed}:{group_id}".encode(), digest_size=8).digest()
    u = (int.from_bytes(digest, "big") >> 11) / 2**53  # 53 bits: uniform in [0, 1), never 1
    train, val, test = fractions
    if u < train:
        return "train"
    # Rounding may leave train + val just below 1; an empty test split must stay empty.
    return "val" if u < train + val or test == 0 else "test"
