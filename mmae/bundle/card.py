"""The model card of a bundle: README.md with front matter as Hugging Face reads it.

The fields are those of https://huggingface.co/docs/hub/model-cards; an interval is in the arguments of its metric.
"""

from __future__ import annotations

import math
from typing import Any

import yaml

from mmae.bundle.config import OTHER
from mmae.bundle.facts import Facts
from mmae.bundle.files import CONFIG, ROWS, Description
from mmae.bundle.predictions import MEANING, NO_WARNINGS, possible_flags
from mmae.metrics.redshift import BASELINE
from mmae.model.batch import InputSpec
from mmae.report.score_table import scores_text

TAGS = ["astronomy", "galaxies", "photometric-redshift", "masked-autoencoder", "mmae"]
METRICS = ("sigma_nmad", "bias", "outlier_rate")

NOT_FOR = """\
- Other bands, band orders, pixel scales, zero points or wavelength grids than those above. `predict` refuses them.
- Galaxies unlike those of the training in brightness, depth of the images, colour or redshift: the scores above do not
  hold, and p(z) is not calibrated for them. Check `anomaly`, and a sample with known redshifts.
- Stars, artefacts and blends: the model gives a redshift to anything it is shown.{warnings}
- Galaxies of its own training as a test: their predictions are better than those of other galaxies. {rows}
- Cosmological analyses on its p(z) alone, without calibration on a spectroscopic sample of the same selection.
"""


def model_card(facts: Facts, description: Description, licence: str) -> str:
    """The text of README.md.

    Args:
        licence: identifier of Hugging Face, such as cc-by-4.0; "other" if it has not been chosen.
    """
    front = yaml.safe_dump(_front_matter(facts, licence), sort_keys=False, allow_unicode=True)
    scores = f"```\n{scores_text(facts.scores)}```" if facts.scores else "The model was not scored."
    trained = ", ".join(f"{n:,} {split}" for split, n in facts.galaxies.items()) or "not recorded"
    warnings = description.flags_sha256 is not None
    rows = f"They are listed in `{ROWS}`." if facts.galaxies else "They were not recorded."
    return f"""---
{front}---

# {facts.name}

Redshift, p(z), an embedding and an anomaly score of galaxies from images, spectra or both, by recipe `{facts.recipe}`
of mmae {description.version}. Weights: {description.weights_sha256[:16]}... (SHA-256; whole in `{CONFIG}`).

## Use

```python
{_example(description.spec)}
```

Needs torch, numpy and safetensors. What is not given, or NaN, is missing: it is never replaced by zeros.

## Flags

{_flags(warnings)}

## Input

{_input(description.spec)}

## Training

Data set `{facts.dataset}`, content hash `{facts.content_hash or "not recorded"}`, split hash
`{facts.split_hash or "not recorded"}`. Galaxies: {trained}. Checkpoint of step {facts.step:,}.

## Scores on the test split

{scores}

## Must not be used for

{NOT_FOR.format(rows=rows, warnings=" `flags` warn of some of them only." if warnings else "")}
## Licence

{_licence(licence)}
"""


def _front_matter(facts: Facts, licence: str) -> dict[str, Any]:
    front: dict[str, Any] = {"license": licence, "library_name": "mmae", "tags": TAGS}
    dataset = {"name": facts.dataset, "type": facts.dataset, "split": "test"}
    if facts.content_hash:
        dataset["revision"] = facts.content_hash
    results = [
        {
            "task": {"type": "tabular-regression", "name": f"redshift from {mode}"},
            "dataset": dataset | {"args": {"selection": selection, "split_hash": facts.split_hash}},
            "metrics": metrics,
        }
        for mode, selections in facts.scores.items()
        if mode != BASELINE
        for selection, of in selections.items()
        if (metrics := _metrics(of))
    ]
    if results:
        front |= {"metrics": list(METRICS), "model-index": [{"name": facts.name, "results": results}]}
    return front


def _metrics(scores: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name in METRICS:
        score = scores.get(name)
        if score is None or not math.isfinite(score.value):
            continue
        metric = {"type": name, "name": name, "value": float(f"{score.value:.4g}")}
        if math.isfinite(score.error):
            interval = [float(f"{x:.4g}") for x in (score.low, score.high)]
            metric["args"] = {"interval_68": interval, "galaxies": int(score.n)}
        found.append(metric)
    return found


def _example(spec: InputSpec) -> str:
    return f"""import mmae

model = mmae.load("bundle/")
bands = {list(spec.bands)}
found = model.predict(images, bands=bands, pixel_scale={spec.pixel_scale:g}, zero_point={spec.zero_point:g})
found.z_median, found.z_low68, found.z_high68, found.pz, found.embedding, found.anomaly, found.flags"""


def _flags(warnings: bool) -> str:
    """The table of the bits of `flags`."""
    rows = [f"| {int(flag)} | `{flag.name}` | {MEANING[flag]} |" for flag in possible_flags(warnings)]
    table = "\n".join(["| bit | name | meaning |", "|---|---|---|", *rows])
    return table if warnings else f"{table}\n\n{NO_WARNINGS}"


def _input(spec: InputSpec) -> str:
    """The table of grids, units and normalisation constants."""
    rows = []
    if spec.image_size:
        rows += [
            ("images", f"(galaxies, {spec.n_bands}, {spec.image_size}, {spec.image_size}), NaN: not observed"),
            ("band order", ", ".join(spec.bands)),
            ("pixel scale", f"{spec.pixel_scale:g} arcsec"),
            ("zero point", f"{spec.zero_point:g} AB magnitude of one count"),
            ("background noise", f"{_numbers(spec.band_noise)} counts per pixel"),
            ("mean of arcsinh(pixel / noise)", _numbers(spec.arcsinh_mean)),
            ("its standard deviation", _numbers(spec.arcsinh_std)),
        ]
    if spec.n_wavelengths:
        last = spec.wavelength_start + spec.wavelength_step * (spec.n_wavelengths - 1)
        rows += [
            ("spectra", f"(galaxies, {spec.n_wavelengths}), 1e-17 erg/s/cm2/A, with inverse variance (0: no data)"),
            (
                "wavelengths",
                f"{spec.wavelength_start:g} to {last:g} Angstrom in vacuum, steps of {spec.wavelength_step:g}",
            ),
        ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _licence(licence: str) -> str:
    if licence == OTHER:
        return "Not chosen: it depends on the data of the training. Ask the owner of the model."
    return f"`{licence}`"
