"""The steps of an evaluation on a survey without images and spectra, in plain torch."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import torch

from mmae.evaluation.catalogue import read_catalogue
from mmae.evaluation.reconstructions import measure_reconstructions
from mmae.inference.predict import predict_redshifts, reconstruct
from mmae.inference.readings import read_modes
from mmae.ingest.build import build_survey
from mmae.ingest.chunk import SplitConfig
from mmae.ingest.description import CatalogueColumns, SurveyDescription
from mmae.loader.collate import galaxy_columns, input_spec, to_batch
from mmae.model.build import build_model
from mmae.recipes import recipe
from mmae.survey.schema import Galaxy
from mmae.survey.source import ChunkRead, Source

BANDS = ("u", "Ks", "W1")
CPU = torch.device("cpu")


def test_a_model_on_tables_is_read_and_reconstructs_nothing_to_measure(tmp_path):
    magnitudes = {band: band for band in BANDS}
    spec = SurveyDescription(bands=BANDS, catalogue=CatalogueColumns(magnitudes=magnitudes)).spec_of_tables()
    galaxies = [Galaxy(f"g{i}", redshift=0.1 * i, cmodel_mag_C=np.array([20.0, 19.0, np.nan])) for i in range(9)]
    source = Source("t", spec, {}, [{}], lambda chunk: ChunkRead(galaxies, [g.object_id for g in galaxies]))
    survey = build_survey(
        [source], tmp_path / "s", SplitConfig((0.0, 0.0, 1.0)), run=lambda jobs, work, _: map(work, jobs)
    )
    batch = to_batch(pq.read_table(survey.files("test"), columns=galaxy_columns(survey), partitioning=None), spec)
    model = build_model(recipe("magnitudes").model, input_spec(spec)).eval()

    readings, spectroscopy = read_modes(model, [batch], CPU, spec.wavelength_L())
    assert list(readings) == ["magnitudes"] and np.isfinite(readings["magnitudes"].prediction_N).all()
    assert np.isnan(spectroscopy.snr_N).all() and np.isnan(spectroscopy.dn4000_N).all()
    assert predict_redshifts(model, [batch], CPU).usable["magnitudes"].all()
    assert reconstruct(model, [batch], CPU, examples=2, mask_ratio=0.5, seed=0) is None
    catalogue, nothing = read_catalogue(survey, "test"), np.full((9, 1), np.nan)
    options = {"mask_ratio": 0.75, "line_galaxies": 9, "seed": 0}
    measures = measure_reconstructions(model, [batch], CPU, spec, catalogue, nothing, **options)
    assert measures.images is None and measures.spectra is None
