"""What a study minimises: criterion and measures of each objective, and recipes that reconstruct nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from mmae.core.errors import InputError
from mmae.recipes import RECIPES, recipe
from mmae.study.config import StudyConfig
from mmae.study.objective import HIDDEN, OBJECTIVES, SCATTER, Objective, reconstructed, require_measured
from mmae.study.study import run_study

RECONSTRUCTED = {
    "small": "image",
    "base": "image",
    "paper": "image",
    "image-only": "image",
    "magnitudes": "magnitudes",
    "cnn": "",
    "contrastive": "",
}


def test_every_objective_has_its_measures():
    assert set(OBJECTIVES) == set(get_args(Objective))
    assert OBJECTIVES["scatter-reconstruction"] == (SCATTER, HIDDEN)


def test_the_first_modality_is_reconstructed():
    assert {name: reconstructed(recipe(name)) for name in RECIPES} == RECONSTRUCTED


@pytest.mark.parametrize("objective", get_args(Objective))
@pytest.mark.parametrize("name", RECIPES)
def test_the_criterion_of_every_recipe_and_objective(name, objective):
    study = StudyConfig(run=recipe(name), objective=objective, dry_run=True)
    if "reconstruction" in objective and not RECONSTRUCTED[name]:
        with pytest.raises(InputError, match=f"--objective {objective}: recipe {name} reconstructs nothing"):
            run_study(study)
        return
    require_measured(objective, study.run)
    criterion = study.criterion
    assert criterion.key == ("reconstruction" if objective == "reconstruction" else "sigma_nmad")
    assert criterion.direction == "minimize"


def test_a_run_that_hides_nothing_of_its_image_is_refused():
    run = recipe("small")
    run = replace(run, masks=replace(run.masks, image_ratio=(0.0, 0.0)))
    with pytest.raises(InputError, match="reconstructs nothing"):
        require_measured("reconstruction", run)
