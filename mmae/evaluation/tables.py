"""What was predicted, galaxy by galaxy, in files for other programs: Parquet, and p(z) for qp."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmae.evaluation.pz.export import write_qp
from mmae.evaluation.sections import Gathered

PREDICTIONS = "predictions.parquet"


def write_tables(gathered: Gathered, folder: Path) -> list[Path]:
    """Write predictions.parquet and pz_<mode>.hdf5 for every mode with p(z); returns the files."""
    catalogue = gathered.test.catalogue
    columns = {"object_id": pa.array(catalogue.object_id_N, pa.string())}
    for name in ("ra", "dec", "redshift"):
        columns[name] = pa.array(getattr(catalogue, f"{name}_N"), from_pandas=True)
    for mode, readings in gathered.test.readings.items():
        columns[f"z_{mode}"] = pa.array(readings.prediction_N, from_pandas=True)
    files = [folder / PREDICTIONS]
    pq.write_table(pa.table(columns), files[0])
    for mode, (pdf, usable_N) in gathered.pdfs().items():
        if usable_N.any():
            files.append(folder / f"pz_{mode}.hdf5")
            write_qp(files[-1], pdf.chosen(usable_N), catalogue.object_id_N[usable_N])
    return files
