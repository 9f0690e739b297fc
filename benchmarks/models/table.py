"""Print results of runs as a Markdown table: mean over seeds, and its error.

    python -m benchmarks.models.table docs/results/*.json

The arguments are the files `test.json` or `val.json` that `compare` writes into the folders of runs.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmae.report.contents import Measured, cell_text

IMAGE = (
    "image z<0.4 sigma",
    "image all z sigma",
    "image all z outliers",
    "image all z bias",
    "image CRPS",
    "image PIT KS",
)
OTHERS = (
    "spectrum all z sigma",
    "both all z sigma",
    "both all z outliers",
    "image hidden pixels",
    "both hidden pixels",
)
PROBED = tuple(
    f"image {probe} {rest}"
    for probe in ("kNN", "linear")
    for rest in ("z<0.4 sigma", "all z sigma", "all z outliers", "all z bias")
)
MAGNITUDES = (
    "magnitudes z<0.4 sigma",
    "magnitudes all z sigma",
    "magnitudes all z outliers",
    "magnitudes all z bias",
    "magnitudes CRPS",
    "magnitudes PIT KS",
)


def read_results(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Description and scores of finished runs."""
    return [json.loads(file.read_text()) for file in files]


def markdown(results: Sequence[dict[str, Any]]) -> str:
    """One row per model, and one per probe of its embedding."""
    lines = [
        "| model | parameters | galaxies/s | epochs | seeds | "
        + " | ".join(n.removeprefix("image ") for n in IMAGE)
        + " | "
        + " | ".join(OTHERS)
        + " |",
        "|---" * (5 + len(IMAGE) + len(OTHERS)) + "|",
    ]
    for name in dict.fromkeys(result["name"] for result in results):
        runs = [result for result in results if result["name"] == name]
        first = runs[0]
        description = [
            f"{first['parameters'] / 1e6:.2f} M",
            f"{np.mean([r['galaxies_per_second'] for r in runs]):.0f}",
            f"{np.mean([r['epochs'] for r in runs]):.1f}",
            str(len(runs)),
        ]
        shown = IMAGE if IMAGE[0] in first["scores"] else MAGNITUDES
        lines.append(_row(name if shown is IMAGE else f"{name} (no image)", description, runs, (*shown, *OTHERS)))
        if PROBED[0] in first["scores"]:
            for at in range(0, len(PROBED), 4):
                probe = PROBED[at].split()[1]
                lines.append(_row(f"{name}, {probe}", description, runs, (*PROBED[at : at + 4], *[""] * 7)))
    return "\n".join(lines)


def _row(name: str, description: list[str], results: Sequence[dict[str, Any]], shown: Sequence[str]) -> str:
    return "| " + " | ".join([name, *description, *(_cell(score, results) for score in shown)]) + " |"


def _cell(score: str, results: Sequence[dict[str, Any]]) -> str:
    """Mean over seeds, with its error.

    The error adds in quadrature the bootstrap error of the test galaxies, which all seeds share, and the standard error
    of the mean over seeds.
    """
    found = [result["scores"][score] for result in results if score in result["scores"]]
    if not found:
        return ""
    value_S, error_S = np.array(found).T
    among_seeds = value_S.std(ddof=1) / math.sqrt(len(value_S)) if len(value_S) > 1 else 0.0
    error = math.hypot(error_S.mean(), among_seeds)
    if score.endswith("outliers"):
        return f"{cell_text(Measured(100 * value_S.mean(), 100 * error))}%"
    return cell_text(Measured(value_S.mean(), error)) if error else f"{value_S.mean():.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="JSON files of runs")
    print(markdown(read_results(parser.parse_args().files)))


if __name__ == "__main__":
    main()
