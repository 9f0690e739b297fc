"""Output files with predictions per galaxy: Parquet, and p(z) for qp."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmae.evaluation.pz.export import write_qp
from mmae.evaluation.sections import Results
from mmae.inference.flags import flag
from mmae.report.contents import slug

PREDICTIONS = "predictions.parquet"


def write_predictions(results: Results, folder: Path) -> list[Path]:
    """Write predictions.parquet, and pz_<mode>.hdf5 for every mode with p(z); returns the paths."""
    catalogue = results.test.catalogue
    columns = {"object_id": pa.array(catalogue.object_id_N, pa.string())}
    for name in ("ra", "dec", "redshift"):
        columns[name] = pa.array(getattr(catalogue, f"{name}_N"), from_pandas=True)
    for mode, readings in results.test.readings.items():
        columns[f"z_{slug(mode)}"] = pa.array(readings.prediction_N, from_pandas=True)
        if results.flags is not None:
            columns[f"flag_{slug(mode)}"] = pa.array(flag(results.flags, mode, readings))
    files = [folder / PREDICTIONS]
    pq.write_table(pa.table(columns), files[0])
    for mode, (pdf, usable_N) in results.pdfs().items():
        if usable_N.any():
            files.append(folder / f"pz_{slug(mode)}.hdf5")
            write_qp(files[-1], pdf.chosen(usable_N), catalogue.object_id_N[usable_N])
    return files
