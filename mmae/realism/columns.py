"""Columns that several tables of the report share."""

from __future__ import annotations

from mmae.report.contents import Column

PERCENTS = (16.0, 50.0, 84.0)
PERCENTILE_COLUMNS = tuple(
    Column(f"{sample}_p{percent:g}", f"{heading} {percent:g}%")
    for sample, heading in (("simulated", "sim"), ("real", "real"))
    for percent in PERCENTS
)
"""PERCENTS of the simulated sample, then of the real one."""
SIMULATED, REAL, PUBLISHED = Column("simulated"), Column("real"), Column("published")
RATIO, KS_DISTANCE, VERDICT = Column("ratio"), Column("ks_distance", "KS D"), Column("verdict")
