"""Without its spectrum, a galaxy without an image is reconstructed from nothing, and nothing of it is judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from mmae.evaluation.catalogue import Catalogue
from mmae.evaluation.reconstructions import ABSENT, masked_name, measure_reconstructions
from mmae.loader.collate import input_spec
from mmae.model.batch import Batch
from mmae.model.build import build_model
from mmae.model.config import MMAEConfig
from mmae.survey.schema import SurveySpec

SPEC = SurveySpec()
GALAXIES, RATIO = 4, 0.75


def spectra(with_image: list[bool]) -> Batch:
    """Bright, featureless spectra."""
    generator = torch.Generator().manual_seed(0)
    flux_BL = 10 + torch.randn(GALAXIES, SPEC.n_wavelengths, generator=generator)
    image_BCHW = torch.randn(GALAXIES, *SPEC.image_shape, generator=generator)
    has_image_B = torch.tensor(with_image)
    present_B = torch.ones(GALAXIES, dtype=torch.bool)
    return Batch(
        {
            "image": image_BCHW * has_image_B[:, None, None, None],
            "flux": flux_BL,
            "ivar": torch.ones_like(flux_BL),
            **{name: torch.zeros(GALAXIES, len(SPEC.bands)) for name in ("magnitudes", "magnitude_errors")},
        },
        {"image": has_image_B, "spectrum": present_B, "magnitudes": ~present_B},
        torch.full((GALAXIES,), 2.5),
        present_B,
        torch.ones(GALAXIES),
        [f"g{i}" for i in range(GALAXIES)],
    )


def judged(with_image: list[bool]) -> tuple[dict[str, np.ndarray], set[str]]:
    """Situation -> galaxies of which a block of continuum is judged; the examples."""
    empty_N, zero_N = np.full(GALAXIES, "", object), np.zeros(GALAXIES)
    batch = spectra(with_image)
    catalogue = Catalogue(
        np.array(batch.object_id, object),
        zero_N.astype(int),
        zero_N,
        zero_N,
        batch.redshift_B.numpy(),
        np.full((GALAXIES, len(SPEC.bands)), 20.0),
        SPEC.bands,
        empty_N,
        empty_N,
        empty_N,
    )
    config = MMAEConfig(width=24, depth=1, heads=2, decoder_width=16)
    model = build_model(replace(config), input_spec(SPEC)).eval()
    measures = measure_reconstructions(
        model,
        [batch],
        torch.device("cpu"),
        SPEC,
        catalogue,
        np.full((GALAXIES, 6), np.nan),
        mask_ratio=RATIO,
        line_galaxies=GALAXIES,
        seed=0,
    )
    pull = measures.spectra.continuum.pull
    return {name: np.isfinite(pull_NK).any(1) for name, pull_NK in pull.items()}, set(measures.examples)


def test_a_galaxy_without_an_image_is_judged_only_where_part_of_its_spectrum_was_shown():
    found, examples = judged([True, False, True, False])
    assert found[masked_name(RATIO)].all()
    assert found[ABSENT].tolist() == [True, False, True, False]
    assert examples == {ABSENT}


def test_a_survey_of_spectra_has_no_judgement_and_no_example_of_absent_spectra():
    found, examples = judged([False] * GALAXIES)
    assert found[masked_name(RATIO)].all() and not found[ABSENT].any()
    assert not examples
