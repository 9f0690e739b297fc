"""Section on real objects inside the simulated locus, with and without variety (`locus`).

Shape suffixes: M simulated objects, C bands.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from mmae.realism.columns import VERDICT
from mmae.realism.figures_population import locus_figure
from mmae.realism.locus import GALAXY_EDGES, QUASAR_EDGES, LocusCell, SimulatedTable, locus_cells, overall
from mmae.realism.locus_stamps import stamp_table
from mmae.realism.reference import load, read_hsc
from mmae.realism.reference_tables import RealTable, real_tables
from mmae.realism.rows import Objects, Track, no_tracking
from mmae.realism.simulator import Simulator, VariedObject, row_of
from mmae.report.contents import NOT_JUDGED, Column, Drawing, Measured, Section, Table, judge_range
from mmae.survey.schema import SurveySpec

TITLE = "Real objects inside the simulated locus"
PER_CELL = 150  # simulated objects per redshift cell and class
# 1% are outside by definition; a real table has blends and wrong redshifts, 1 to 2% in SDSS and zCOSMOS.
MOST_OUTSIDE = 0.05
STAMPS = 100  # simulated stamps to be compared with real cutouts
WORST = 5  # cells that are named
QUASAR_CLASS = "QSO"
CAPTION = (
    "Fraction of real objects whose colours are farther from their nearest simulated neighbours than those of 99% of "
    "the simulated objects are. Dotted: 1%, expected if the real objects are like the simulated ones."
)


def locus_section(
    objects: Objects,
    spec: SurveySpec,
    reference: Path | None,
    simulator: Simulator | None,
    seed: int,
    track: Track = no_tracking,
) -> Section:
    """Section with a table per real sample, a table of all cells and a figure."""
    text = (
        "Colours of SDSS (ugriz; galaxies at z < 0.3, quasars), DESI DR1 (grz of the Legacy Surveys) and zCOSMOS "
        "(griz) against simulated objects of the same redshift and filters, with the photometric errors of the real "
        "objects. A real object is outside if the distance to its third nearest simulated neighbour is larger than "
        "that of 99% of the simulated objects. Variety (docs/simulation.md) widens the simulated locus."
    )
    loaded = load(real_tables, reference)
    if loaded.value is None:
        return Section("locus", TITLE, text, left_out=loaded.reason)
    if simulator is None or simulator.varied is None:
        return Section("locus", TITLE, text, left_out="Left out: rows of this survey cannot be simulated again.")
    rows = chosen_rows(objects, seed)
    scales = (0.0, simulator.scale or 1.0)
    cells = {
        scale: _all_cells(loaded.value, simulated_objects(simulator, rows, scale, loaded.value, track), seed)
        for scale in scales
    }
    own = cells[simulator.scale]
    worst = sorted(own, key=lambda c: -c.outside)[:WORST]
    named = ", ".join(f"{c.table} {c.low:g} to {c.high:g} ({c.outside:.0%})" for c in worst)
    tables: tuple[Table, ...] = (
        _overall_table(loaded.value, cells, simulator.scale, f"Worst cells of this survey: {named}."),
        _cell_table(cells[scales[0]], cells[scales[1]]),
    )
    images = load(read_hsc, reference)
    if images.value is not None and images.value.image_NCHW.shape[1] == len(spec.bands) and simulator.image:
        stamps = [
            np.stack([simulator.image(row, scale) for row in track(rows[:STAMPS], f"stamps, variety {scale:g}")])
            for scale in scales
        ]
        tables = (*tables, stamp_table(images.value, stamps[0], stamps[1], spec))
    drawing = Drawing("locus", CAPTION, locus_figure(cells[scales[0]], cells[scales[1]]))
    return Section("locus", TITLE, text, tables, (drawing,))


def chosen_rows(objects: Objects, seed: int) -> list[int]:
    """Rows of the survey, at most PER_CELL per redshift cell and class, in random order."""
    if objects.truth is None:
        return []
    taken: Counter[tuple[bool, int]] = Counter()
    rows = []
    for n in np.random.default_rng(seed).permutation(len(objects)):
        row, redshift = row_of(objects.object_id_N[n]), objects.redshift_N[n]
        quasar = objects.class_N[n] == QUASAR_CLASS
        cell = (bool(quasar), int(np.searchsorted(QUASAR_EDGES if quasar else GALAXY_EDGES, redshift)))
        if row is not None and np.isfinite(redshift) and taken[cell] < PER_CELL:
            taken[cell] += 1
            rows.append(row)
    return rows


def simulated_objects(
    simulator: Simulator, rows: list[int], scale: float, tables: list[RealTable], track: Track = no_tracking
) -> list[VariedObject]:
    """The objects of `rows` with a scale of variety, with magnitudes in all bands of the tables."""
    assert simulator.varied is not None
    bands = _bands(tables)
    return [simulator.varied(row, scale, bands) for row in track(rows, f"variety {scale:g}")]


def _bands(tables: list[RealTable]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(band for table in tables for band in table.bands))


def _all_cells(tables: list[RealTable], found: list[VariedObject], seed: int) -> list[LocusCell]:
    bands, cells = _bands(tables), []
    for table in tables:
        same = [o for o in found if o.is_quasar == table.quasars]
        if not same:
            continue
        mag_MC = np.stack([o.mag_C for o in same])[:, [bands.index(b) for b in table.bands]]
        cells += locus_cells(table, SimulatedTable(np.array([o.redshift for o in same]), mag_MC), seed)
    return cells


def _overall_table(tables: list[RealTable], cells: dict[float, list[LocusCell]], own: float, note: str) -> Table:
    rows = []
    for table in tables:
        values = [overall([c for c in found if c.table == table.name]) for found in cells.values()]
        judged, _ = values[list(cells).index(own)]
        verdict = judge_range(judged, 0.0, MOST_OUTSIDE) if np.isfinite(judged) else NOT_JUDGED
        rows.append((table.name, *(Measured(100 * value, 100 * error) for value, error in values), verdict))
    columns = (Column("table"), Column("without", "without variety [%]"), Column("with", "with variety [%]"), VERDICT)
    return Table("overall", "Fraction outside, all redshifts", columns, tuple(rows), note=note)


def _cell_table(without: list[LocusCell], varied: list[LocusCell]) -> Table:
    by_cell = {(c.table, c.low): c for c in varied}
    rows = []
    for cell in without:
        other = by_cell.get((cell.table, cell.low))
        rows.append(
            (
                cell.table,
                f"{cell.low:g} to {cell.high:g}",
                cell.n_real,
                cell.n_simulated,
                Measured(100 * cell.outside, 100 * cell.error),
                None if other is None else Measured(100 * other.outside, 100 * other.error),
            )
        )
    columns = (
        Column("table"),
        Column("redshift"),
        Column("n_real"),
        Column("n_simulated", "n sim"),
        Column("without", "without variety [%]"),
        Column("with", "with variety [%]"),
    )
    return Table("cells", "Fraction outside by redshift", columns, tuple(rows))
