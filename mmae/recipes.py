"""Recipes: named run configurations, and the command line that starts from one.

Each docstring states command, time and expected scores.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mmae.cli import parse
from mmae.config import OptimConfig, RunConfig, ValidationConfig
from mmae.core.errors import InputError
from mmae.core.settings import from_yaml
from mmae.core.short_help import Groups
from mmae.loader.config import StreamConfig
from mmae.model.config import CNNConfig, ContrastiveConfig, MaskConfig, MMAEConfig, ModalitiesConfig, PaperConfig
from mmae.model.part_configs import ImageConfig, MagnitudesConfig, SpectrumConfig

SMALL_IMAGE = ImageConfig(patch=8, mixing=3, weight=10.0)
SMALL_SPECTRUM = SpectrumConfig(patch=64, weight=0.5, error_floor=0.2)
SMALL_MODEL = MMAEConfig(
    modalities=ModalitiesConfig(image=SMALL_IMAGE, spectrum=SMALL_SPECTRUM),
    width=96,
    depth=4,
    heads=3,
    mlp_ratio=2.0,
    decoder_width=96,
)


def small() -> RunConfig:
    """Masked autoencoder that encodes visible tokens only, for a laptop.

    Command: python ray_jobs/pretrain.py
    Time: 8 to 13 minutes on 2 CPU cores, 800 steps on the embedded survey of 6,000 galaxies.
    Score: see the README.

    A step has two views. In the first, 0.6 of the galaxies of a batch show a tenth to four tenths of their patches,
    from which the others are reconstructed. In the second, from which the redshift is learned, all galaxies show their
    whole image or, for a tenth, their spectrum; a few show both. Rare kinds of galaxy are repeated, mostly with their
    spectrum.
    """
    return RunConfig(
        recipe="small",
        model=SMALL_MODEL,
        masks=MaskConfig(image_ratio=(0.6, 0.9), spectrum_ratio=(0.6, 0.9), drop_image=0.05, drop_spectrum=0.5),
        redshift_masks=MaskConfig(
            image_ratio=(0.0, 0.0), spectrum_ratio=(0.0, 0.9), drop_image=0.1, drop_spectrum=0.85
        ),
        masked_share=0.6,
        stream=StreamConfig(batch_size=64, repeat_rare=5),
        optim=OptimConfig(
            steps=800, learning_rate=1e-3, muon_learning_rate=3e-3, muon_decoder_factor=2.0, warmup_steps=50
        ),
        validation=ValidationConfig(every=160),
    )


def base() -> RunConfig:
    """The model of `small` for a survey and a GPU: wider and deeper.

    Command: python ray_jobs/pretrain.py --recipe base --survey YOUR_SURVEY
    Time: needs one or more GPUs (--compute.workers).
    Score: not measured. The first section of docs/ablations.md has scores of this design at the size of `small`.
    Cost: 12.1 million parameters; 3.3 GFLOP per galaxy and step for both views, forward and backward, and 98 GFLOP per
    step for Muon (counted), thus 0.94 TFLOP per step, and 17 PFLOP for all steps: 44 s at 40% of the 989 TFLOP/s
    (dense, bfloat16) of an H100 or H200, if nothing else limits. Memory: 15 MB of activations per galaxy in float32
    (counted), 3.7 GB for a batch of 256, and 0.25 GB for weights, their average, gradients and the state of the
    optimisers.

    The number of steps corresponds to 50 epochs of the paper's 94,173 training galaxies.
    """
    run = small()
    modalities = ModalitiesConfig(image=replace(SMALL_IMAGE, stem_width=32), spectrum=SMALL_SPECTRUM)
    return replace(
        run,
        recipe="base",
        model=replace(SMALL_MODEL, modalities=modalities, width=384, depth=6, heads=6, decoder_width=192),
        stream=replace(run.stream, batch_size=256),
        optim=replace(run.optim, steps=18_400, muon_learning_rate=2e-3, muon_decoder_factor=1.0, warmup_steps=500),
        validation=ValidationConfig(every=368),
    )


def paper() -> RunConfig:
    """Baseline: the published model and optimiser (arXiv:2510.22527).

    Command: python ray_jobs/pretrain.py --recipe paper --survey YOUR_SURVEY
    Time: needs a GPU; 16 galaxies/s on two CPU cores.
    Score: published, on the paper's data: sigma_NMAD 0.016 at z < 0.4 with a quarter of the
    image masked, 0.025 with nothing masked.

    Batch 256, AdamW 1e-4, weight decay 0.01, clip 1.0, 75% of both modalities masked, the
    spectrum dropped for half of the batches; details of the authors' code in mmae/model/paper.py.
    The number of steps is not published: 50 epochs of its 94,173 training galaxies (the authors'
    script ends after 100 epochs by default, and keeps the best one).
    """
    return RunConfig(
        recipe="paper",
        model=PaperConfig(),
        masks=MaskConfig(drop_unit="batch"),
        stream=StreamConfig(batch_size=256),
        optim=OptimConfig(
            steps=18_400,
            learning_rate=1e-4,
            final_learning_rate=1e-4,
            warmup_steps=0,
            weight_decay=0.01,
            clip=1.0,
            ema_decay=0.0,
            augment=False,
        ),
        validation=ValidationConfig(every=368),
    )


def cnn() -> RunConfig:
    """Baseline: redshift from the image by an Inception network.

    Command: python ray_jobs/pretrain.py --recipe cnn
    Time: a GPU for large surveys; minutes on 2 CPU cores for the simulated one.
    Score: published CNNs of this kind reach sigma_NMAD 0.012 at z < 0.4 on HSC images.
    """
    return RunConfig(
        recipe="cnn",
        model=CNNConfig(),
        masks=MaskConfig(image_ratio=(0.0, 0.0), spectrum_ratio=(0.0, 0.0), drop_image=0.0, drop_spectrum=0.0),
        stream=StreamConfig(batch_size=64),
        optim=OptimConfig(steps=800),
    )


def magnitudes() -> RunConfig:
    """Redshift from catalogue magnitudes in any bands.

    With or without errors, by the encoder of `small`.

    Command: python ray_jobs/pretrain.py --recipe magnitudes
    Time: a minute on 2 CPU cores, most of it for reading.
    Score: with one view, on real tables, better than gradient boosting (docs/ablations.md).
    """
    modalities = ModalitiesConfig(
        image=ImageConfig(use=False), spectrum=SpectrumConfig(use=False), magnitudes=MagnitudesConfig(use=True)
    )
    return replace(
        small(),
        recipe="magnitudes",
        model=replace(SMALL_MODEL, modalities=modalities, decoder_width=72),
        # Every galaxy shows all bands in one view, as in inference: masks for all galaxies cost 9% of the scatter.
        masks=MaskConfig(magnitudes_ratio=(0.0, 0.5)),
        redshift_masks=MaskConfig(magnitudes_ratio=(0.0, 0.0)),
        masked_share=0.25,
        optim=OptimConfig(steps=1200, augment=False),  # images alone are augmented
        validation=ValidationConfig(),
    )


def image_only() -> RunConfig:
    """Baseline: the masked autoencoder of `small` without spectra.

    Command: python ray_jobs/pretrain.py --recipe image-only
    Time: minutes on 2 CPU cores.
    """
    modalities = ModalitiesConfig(image=SMALL_IMAGE, spectrum=SpectrumConfig(use=False))
    return replace(small(), recipe="image-only", model=replace(SMALL_MODEL, modalities=modalities))


def contrastive() -> RunConfig:
    """Baseline: image and spectrum aligned by a contrastive loss.

    As in AstroCLIP, with the redshift by a linear layer.

    Command: python ray_jobs/pretrain.py --recipe contrastive
    Time: minutes on 2 CPU cores.
    """
    return replace(
        small(),
        recipe="contrastive",
        model=ContrastiveConfig(
            image=SMALL_IMAGE,
            spectrum=SMALL_SPECTRUM,
            width=SMALL_MODEL.width,
            depth=SMALL_MODEL.depth,
            heads=SMALL_MODEL.heads,
            mlp_ratio=SMALL_MODEL.mlp_ratio,
        ),
        # Images are shown whole, as in inference: other images are embedded by another layer.
        masks=MaskConfig(image_ratio=(0.0, 0.0), spectrum_ratio=(0.0, 0.25), drop_image=0.0, drop_spectrum=0.0),
        redshift_masks=None,
        masked_share=1.0,
    )


RECIPES: dict[str, Callable[[], RunConfig]] = {
    "small": small,
    "base": base,
    "paper": paper,
    "cnn": cnn,
    "magnitudes": magnitudes,
    "image-only": image_only,
    "contrastive": contrastive,
}


def recipe(name: str) -> RunConfig:
    """The configuration of a recipe.

    Raises:
        InputError: there is no such recipe.
    """
    if name not in RECIPES:
        raise InputError(f"--recipe {name}: unknown recipe, expected one of {', '.join(RECIPES)}.")
    return RECIPES[name]()


START_OF_RUN = f"Start from  --recipe NAME  or  --config FILE.yaml. Recipes:\n  {', '.join(RECIPES)}."
START = "\n".join(
    [
        "Start from  --recipe NAME  or  --config FILE.yaml, then override single fields.",
        "Recipes (default: small):",
        *(f"  {name:11} {(make.__doc__ or '').splitlines()[0]}" for name, make in RECIPES.items()),
    ]
)


def parse_run(description: str, argv: list[str] | None = None, common: Groups | None = None) -> RunConfig:
    """The configuration of a run: a recipe or file, with single fields overridden.

    Args:
        common: as in `mmae.cli.parse`.

    Raises:
        InputError: an invalid recipe, file or value.
        SystemExit: --help, or an option that does not exist.
    """
    default, rest = starting_run(argv)
    config = parse(RunConfig, f"{description}\n\n{START}", default=default, argv=rest, common=common)
    require_same_recipe(default, config, "recipe")
    return config


def starting_run(argv: list[str] | None = None) -> tuple[RunConfig, list[str]]:
    """The configuration given by --recipe or --config, and the remaining options.

    Raises:
        InputError: an invalid recipe or file, or both options.
    """
    start = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    start.add_argument("--recipe", default=None)
    start.add_argument("--config", type=Path, default=None)
    chosen, rest = start.parse_known_args(argv)
    if chosen.recipe and chosen.config:
        raise InputError("--recipe and --config exclude each other: give one of them.")
    return from_yaml(chosen.config, RunConfig) if chosen.config else recipe(chosen.recipe or "small"), rest


def require_same_recipe(start: RunConfig, config: RunConfig, option: str) -> None:
    """Refuse an option that would change the name of the recipe only, and none of its settings.

    Args:
        start: the configuration before single fields were overridden.

    Raises:
        InputError: the name differs.
    """
    if config.recipe != start.recipe:
        raise InputError(
            f"{option} {config.recipe}: this changes only the name of the recipe. "
            f"Use --recipe {config.recipe} to start from its settings."
        )
