"""Check that a model is not tested on galaxies of its training.

The file training_rows.parquet beside the weights of a run lists the rows of its train split, and of its val split,
which selected the checkpoint. A tested galaxy was in training if one of these rows

    is within 1 arcsec, or
    has the same targetid and is within 10 arcsec, or one of the two has no position, or
    has the same object_id, if one of the two has no position.

If both positions are known, object_ids are not compared: surveys number their rows in the same way, and the same
object_id at two positions means two galaxies. The same holds for targetids of other surveys than DESI.

Shape suffixes: T tested galaxies, N training rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmae.astro.crossmatch import nearest, separation
from mmae.astro.healpix import on_sky
from mmae.core.errors import InputError
from mmae.survey.columns import read_columns, split_hash
from mmae.survey.duplicates import RADIUS_ARCSEC, TARGET_RADIUS_ARCSEC
from mmae.survey.store import Survey

TRAINING_ROWS = "training_rows.parquet"
COLUMNS = ["object_id", "targetid", "ra", "dec", "split"]
AXES = ("ra", "dec")
TRAINED_ON = ("train", "val")
SURVEY_KEYS = (b"mmae.survey", b"mmae.survey_hash", b"mmae.split_hash")  # in the file's metadata
NAMED = 5  # leaked galaxies listed in the message


@dataclass(frozen=True)
class LeakCheck:
    """The result of a check that found no leak.

    Attributes:
        tested: galaxies of the evaluated split.
        trained: training rows; None: not known, nothing was compared.
        text: one sentence for the report.
    """

    tested: int
    trained: int | None
    text: str


@dataclass(frozen=True)
class Leaks:
    """For every tested galaxy the index (T,) of a training row of the same galaxy, -1 if there is none."""

    by_targetid_T: np.ndarray
    by_position_T: np.ndarray
    by_name_T: np.ndarray

    @property
    def row_T(self) -> np.ndarray:
        """Index by any of the three."""
        best_T = np.where(self.by_targetid_T >= 0, self.by_targetid_T, self.by_position_T)
        return np.where(best_T >= 0, best_T, self.by_name_T)


def write_training_rows(survey: Survey, checkpoint: Path, before: Path | None = None) -> Path:
    """Write the rows of train and val of the survey to a file in the folder of a checkpoint.

    Args:
        before: folder of the model that the training started from; its rows, if known, are added.
    """
    shards = [shard for shard in survey.shards if shard.split in TRAINED_ON]
    values = (str(survey.path), survey.content_hash, split_hash(survey))
    rows = read_columns(survey.path, shards, COLUMNS)
    if before is not None and (before / TRAINING_ROWS).exists():
        rows = pa.concat_tables([table.replace_schema_metadata() for table in (rows, _read(before / TRAINING_ROWS))])
    rows = rows.replace_schema_metadata(dict(zip(SURVEY_KEYS, values, strict=True)))
    pq.write_table(rows, checkpoint / TRAINING_ROWS, compression="zstd")
    return checkpoint / TRAINING_ROWS


def require_no_leak(checkpoint: Path, survey: Survey, split: str, *, allow_unknown: bool = False) -> LeakCheck:
    """Raise InputError if a split contains galaxies that the model was trained on.

    Args:
        checkpoint: folder with the weights.
        split: the split to be evaluated.
        allow_unknown: continue if the checkpoint has no file of training rows.

    Raises:
        InputError: a galaxy of the split was in training; the file of training rows is missing or
            damaged; the split has no rows.
    """
    survey.files(split)  # raises for an empty split
    tested = read_columns(survey.path, [shard for shard in survey.shards if shard.split == split], COLUMNS)
    path = checkpoint / TRAINING_ROWS
    if not path.exists():
        problem = f"{path} is missing: the run was made before training rows were recorded"
        if not allow_unknown:
            raise InputError(
                f"{problem}. It may have been trained on the {split} galaxies of {survey.path}: "
                f"train it again, or give --allow-unknown-training if you know that it was not."
            )
        return LeakCheck(len(tested), None, f"not checked: {problem}")
    trained = _read(path)
    leaks = find_leaks(trained, tested)
    if (leaks.row_T >= 0).any():
        raise InputError(_refusal(leaks, trained, tested, checkpoint, survey, split))
    return LeakCheck(
        len(tested),
        len(trained),
        (
            f"none of the {len(tested):,} galaxies is among the {len(trained):,} used for training and checkpoint "
            f"selection (by position within {RADIUS_ARCSEC:g} arcsec, by targetid within {TARGET_RADIUS_ARCSEC:g} "
            f"arcsec, by targetid or object_id without position)"
        ),
    )


def find_leaks(trained: pa.Table, tested: pa.Table) -> Leaks:
    """Compare tested galaxies with training rows; both tables have object_id, targetid, ra, dec."""
    placed_N, placed_T = _placed(trained), _placed(tested)
    unplaced_N = np.flatnonzero(~placed_N)
    by_name_T = _index_in(tested["object_id"], trained["object_id"])
    among_unplaced_T = _index_in(tested["object_id"], trained["object_id"].take(pa.array(unplaced_N)))
    return Leaks(
        by_targetid_T=_same_target(trained, placed_N, tested, placed_T),
        by_position_T=_near(trained, placed_N, tested, placed_T),
        by_name_T=np.where(placed_T, np.append(unplaced_N, -1)[among_unplaced_T], by_name_T),
    )


def _same_target(trained: pa.Table, placed_N: np.ndarray, tested: pa.Table, placed_T: np.ndarray) -> np.ndarray:
    pairs = pa.table({"target": _targets(tested), "t": np.arange(len(tested))}).join(
        pa.table({"target": _targets(trained), "n": np.arange(len(trained))}), "target", join_type="inner"
    )
    t, n = pairs["t"].to_numpy(), pairs["n"].to_numpy()
    places = (table[name].fill_null(0).to_numpy()[rows] for table, rows in ((tested, t), (trained, n)) for name in AXES)
    near = separation(*places) * 3600 <= TARGET_RADIUS_ARCSEC
    near |= ~placed_T[t] | ~placed_N[n]
    found_T = np.full(len(tested), len(trained))
    np.minimum.at(found_T, t[near], n[near])
    return np.where(found_T < len(trained), found_T, -1)


def _near(trained: pa.Table, placed_N: np.ndarray, tested: pa.Table, placed_T: np.ndarray) -> np.ndarray:
    row_N, row_T = np.flatnonzero(placed_N), np.flatnonzero(placed_T)
    positions = (
        table[name].take(rows).to_numpy() for table, rows in ((tested, row_T), (trained, row_N)) for name in AXES
    )
    pairs = nearest(*positions, RADIUS_ARCSEC)
    found_T = np.full(len(tested), -1)
    found_T[row_T[pairs.index1]] = row_N[pairs.index2]
    return found_T


def _placed(table: pa.Table) -> np.ndarray:
    return on_sky(*(table[name].fill_null(np.nan).to_numpy() for name in AXES))


def _targets(table: pa.Table) -> pa.ChunkedArray:
    """targetid, null if it is not positive; see `duplicates.same_galaxy`."""
    targetid = table["targetid"]
    return pc.if_else(pc.greater(targetid, 0), targetid, None)


def _index_in(values: pa.ChunkedArray, among: pa.ChunkedArray) -> np.ndarray:
    """Index of the first occurrence of each value (int64), -1 if it does not occur or is null."""
    return pc.index_in(values, among, skip_nulls=True).fill_null(-1).to_numpy().astype(np.int64)


def _read(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path) as parquet:
            rows = parquet.read()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({reason}). Copy the checkpoint again.") from error
    missing = [name for name in COLUMNS if name not in rows.column_names]
    if missing:
        raise InputError(f"{path}: the columns {', '.join(missing)} are missing. Copy the checkpoint again.")
    return rows


def _refusal(leaks: Leaks, trained: pa.Table, tested: pa.Table, checkpoint: Path, survey: Survey, split: str) -> str:
    row_T = leaks.row_T
    leaked = np.flatnonzero(row_T >= 0)
    names = []
    for row in leaked[:NAMED]:
        was = {name: trained[name][row_T[row]].as_py() for name in ("object_id", "split")}
        names.append(f"{tested['object_id'][row]} (in its {was['split']} split as {was['object_id']})")
    kinds = {
        "by targetid": leaks.by_targetid_T,
        f"within {RADIUS_ARCSEC:g} arcsec": leaks.by_position_T,
        "by object_id": leaks.by_name_T,
    }
    counts = ", ".join(f"{(found_T >= 0).sum():,} {kind}" for kind, found_T in kinds.items())
    trained_survey = (trained.schema.metadata or {}).get(SURVEY_KEYS[0], b"its training survey").decode()
    return (
        f"{survey.path}: {len(leaked):,} of the {len(row_T):,} galaxies of the {split} split were in the training of "
        f"{checkpoint} ({counts}): {', '.join(names)}{', ...' if len(leaked) > NAMED else ''}. Scores on them measure "
        f"memorisation. Evaluate on the test split of {trained_survey}, or build {survey.path} again with the "
        f"--split options of that survey or without these galaxies."
    )
