"""Log the scores of a finished run: metrics, figures, predictions and weights.

Shape suffix: N galaxies.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from mmae.inference.predict import Reconstructions
from mmae.metrics.redshift import flat_metrics
from mmae.plots.image import image_reconstruction_figure
from mmae.plots.redshift import redshift_figure
from mmae.plots.spectrum import spectrum_reconstruction_figure
from mmae.report.score_table import scores_text
from mmae.report.style import short_name
from mmae.survey.schema import SurveySpec
from mmae.tracking.runs import Tracker
from mmae.training.final_scores import RunScores, predictions_table
from mmae.training.pictures import log_curves

MODE_TITLES = {"image": "image only", "spectrum": "spectrum only", "both": "image and spectrum"}


def log_scores(scores: RunScores, tracker: Tracker, checkpoint: Path, curves: Tracker) -> None:
    """Log metrics, figures, predictions and weights of a run; predictions are also written next to the checkpoint.

    Args:
        curves: the run with the logged losses.
    """
    tracker.metrics(flat_metrics(scores.table))
    tracker.describe(f"```\n{scores_text(scores.table)}```")
    predictions = checkpoint.parent / "predictions.parquet"
    pq.write_table(predictions_table(scores.predictions), predictions)
    for mode in scores.predictions.predicted:
        usable_N = scores.predictions.usable[mode].astype(bool)
        figure = redshift_figure(
            scores.predictions.redshift_N[usable_N],
            scores.predictions.predicted[mode][usable_N],
            MODE_TITLES.get(mode, mode),
            scores.table[mode],
        )
        tracker.figure(figure, f"figures/redshift_{mode.replace(' ', '_')}.png")
    if scores.examples is not None:
        _log_examples(scores.examples, scores.spec, tracker)
    log_curves(tracker, curves)
    tracker.file(predictions)
    for path in sorted(checkpoint.iterdir()):
        if path.name != "training.safetensors":  # optimiser state is only needed to continue the run
            tracker.file(path, "checkpoint")


def _log_examples(examples: Reconstructions, spec: SurveySpec, tracker: Tracker) -> None:
    images, spectra = examples.with_image(), examples.with_spectrum()
    if images.object_id:
        tracker.figure(
            image_reconstruction_figure(
                images.image_NCHW, images.visible_NHW, images.image_pred_NCHW, spec, _titles(images)
            ),
            "figures/images.png",
        )
    if spectra.object_id:
        tracker.figure(
            spectrum_reconstruction_figure(
                spec.wavelength_L(),
                spectra.flux_NL,
                spectra.ivar_NL,
                spectra.flux_pred_NL,
                spectra.visible_NL,
                spectra.redshift_N,
                _titles(spectra),
            ),
            "figures/spectra.png",
        )


def _titles(examples: Reconstructions) -> list[str]:
    return [
        short_name(name) if np.isnan(z) else f"{short_name(name)}  z = {z:.3f}"
        for name, z in zip(examples.object_id, examples.redshift_N, strict=True)
    ]
