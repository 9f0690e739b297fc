"""Fraction of real objects outside the simulated locus: statistics, readers and section."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmae.core.errors import InputError
from mmae.realism import locus_section, reference_tables
from mmae.realism.locus import SimulatedTable, locus_cells, outside_fraction, overall
from mmae.realism.locus_stamps import stamp_table
from mmae.realism.reference import RealImages
from mmae.realism.reference_tables import RealTable, real_tables
from mmae.realism.simulator import VariedObject
from mmae.survey.schema import SurveySpec
from tests.realism.surveys import fake_simulator, table_rows

RNG = np.random.default_rng(0)
SPEC = SurveySpec()


def test_the_same_distribution_is_one_per_cent_outside():
    simulated, real = RNG.normal(0, 1, (3000, 3)), RNG.normal(0, 1, (3000, 3))
    assert outside_fraction(simulated, real) == pytest.approx(0.01, abs=0.006)


def test_shifted_and_wider_distributions_are_outside():
    simulated = RNG.normal(0, 1, (500, 3))
    assert outside_fraction(simulated, RNG.normal(6, 1, (200, 3))) > 0.95
    assert 0.1 < outside_fraction(simulated, RNG.normal(0, 3, (500, 3))) < 0.95
    # Inside: a part of the locus only, however dense.
    assert outside_fraction(simulated, RNG.normal(0, 0.3, (500, 3))) < 0.01


def table(redshift_N: np.ndarray, mag_NC: np.ndarray, quasars: bool = False) -> RealTable:
    return RealTable("a table", quasars, ("g", "r", "i"), redshift_N, mag_NC, np.full(mag_NC.shape, 0.05))


def test_cells_need_enough_objects_and_use_colours_only():
    redshift_N = np.concatenate([np.full(200, 0.12), np.full(5, 0.17)])
    mag_NC = 20 + RNG.normal(0, 0.1, (205, 3)) + RNG.normal(0, 2, (205, 1))
    simulated = SimulatedTable(np.full(400, 0.13), 17 + RNG.normal(0, 0.1, (400, 3)))
    (cell,) = locus_cells(table(redshift_N, mag_NC), simulated, 0)
    assert (cell.low, cell.high, cell.n_simulated, cell.n_real) == (0.1, 0.15, 400, 200)
    assert cell.outside < 0.05 and cell.error > 0
    assert np.isnan(overall([])[0]) and overall([cell]) == (cell.outside, pytest.approx(cell.error))


@pytest.fixture
def folder(tmp_path, reference, monkeypatch) -> Path:
    """The reference files of the report with small tables of SDSS and DESI."""
    galaxies = tmp_path / "galaxies"
    galaxies.mkdir()
    for path in reference.iterdir():
        (galaxies / path.name).symlink_to(path)
    rows = np.zeros(60, [*((b, float) for b in "ugriz"), ("spec_class", "S6"), ("redshift", float)])
    for b in "ugriz":
        rows[b] = 18
    rows["spec_class"], rows["redshift"] = [b"GALAXY"] * 40 + [b"QSO"] * 20, 0.12
    rows["redshift"][39], rows["u"][0] = 0.7, 11.0
    np.save(galaxies / reference_tables.SDSS_FILE, rows)
    catalogues = tmp_path / reference_tables.DESI_FOLDER
    catalogues.mkdir()
    n = 12
    columns = {"Z": np.full(n, 0.2), "ZWARN": np.zeros(n, int), "SPECTYPE": ["GALAXY"] * 10 + ["QSO"] * 2}
    columns |= {"OBJTYPE": ["TGT"] * 11 + ["SKY"]}
    columns |= {f"FLUX_{b}": np.full(n, 10.0) for b in "GRZ"} | {f"FLUX_IVAR_{b}": np.full(n, 100.0) for b in "GRZ"}
    columns["FLUX_G"][0], columns["ZWARN"][1] = -99.0, 4
    pq.write_table(pa.table(columns), catalogues / reference_tables.DESI_FILE)
    return galaxies


def test_readers_keep_usable_rows(folder):
    sdss, quasars, desi, desi_quasars, zcosmos = real_tables(folder)
    assert (len(sdss.redshift_N), len(quasars.redshift_N)) == (38, 20)  # without z = 0.7 and u = 11
    assert (len(desi.redshift_N), len(desi_quasars.redshift_N)) == (8, 1)  # without flux -99, ZWARN and sky
    assert desi.mag_NC == pytest.approx(20.0)  # 10 nanomaggies
    assert desi.error_NC == pytest.approx(np.hypot(0.02, 1.0857 / 100), rel=1e-3)
    assert quasars.quasars and not sdss.quasars and np.isfinite(zcosmos.mag_NC).all()
    assert quasars.error_NC[0, 0] < sdss.error_NC[0, 0]


def test_missing_and_damaged_tables_are_named(folder):
    (folder / reference_tables.SDSS_FILE).write_bytes(b"x")
    with pytest.raises(InputError, match=reference_tables.SDSS_FILE):
        real_tables(folder)
    (folder / reference_tables.SDSS_FILE).unlink()
    with pytest.raises(InputError, match="no such file"):
        real_tables(folder)


def test_section_compares_with_and_without_variety(survey, objects, monkeypatch):
    n = 300
    real = [table(np.full(n, 0.12), 20 + RNG.normal(0, 0.3, (n, 3)))]
    monkeypatch.setattr(locus_section, "real_tables", lambda folder: real)

    def varied(row: int, scale: float, bands: tuple[str, ...]) -> VariedObject:
        rng = np.random.default_rng(row)
        return VariedObject(0.12, False, 20 + (0.05 + 0.3 * scale) * rng.standard_normal(len(bands)))

    simulator = dataclasses.replace(fake_simulator(survey, objects), varied=varied, scale=0.0)
    monkeypatch.setattr(locus_section, "chosen_rows", lambda objects, seed: list(range(200)))
    section = locus_section.locus_section(objects, SPEC, Path("."), simulator, 0)
    (row,) = table_rows(section, "overall")
    assert row["without"].value > 20 > row["with"].value and row["verdict"].ok is False
    assert "a table 0.1 to 0.15" in section.tables[0].note
    simulator = dataclasses.replace(simulator, scale=1.0)
    (row,) = table_rows(locus_section.locus_section(objects, SPEC, Path("."), simulator, 0), "overall")
    assert row["verdict"].ok is True
    assert locus_section.locus_section(objects, SPEC, None, simulator, 0).left_out
    assert locus_section.locus_section(objects, SPEC, Path("."), None, 0).left_out


def test_rows_are_chosen_by_cell(objects, monkeypatch):
    monkeypatch.setattr(locus_section, "PER_CELL", 3)
    monkeypatch.setattr(locus_section, "row_of", lambda name: hash(name))
    rows = locus_section.chosen_rows(objects, 0)
    assert 0 < len(rows) < len(objects)


def test_cutouts_outside_the_simulated_range_are_counted():
    rng = np.random.default_rng(1)
    noise = np.array(SPEC.band_noise)[:, None, None]

    def blank(n: int, factor: float) -> np.ndarray:
        return (factor * noise * rng.standard_normal((n, 5, 64, 64))).astype(np.float32)

    image = blank(6, 2.0)
    real = RealImages(image, np.ones_like(image), np.arange(6))
    table = stamp_table(real, blank(20, 1.0), np.concatenate([blank(20, 1.0), blank(20, 3.0)]), SPEC)
    rows = {row[0]: dict(zip((c.name for c in table.columns), row, strict=True)) for row in table.rows}
    assert rows["noise r"]["without"] == 100 and rows["noise r"]["with"] == 0
    assert rows["noise r"]["real_low"] == pytest.approx(2, rel=0.1) and rows["correlation g"]["n_real"] == 6
