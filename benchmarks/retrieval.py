"""How often an image finds its own spectrum among the test galaxies and back, and how similar neighbours are.

    python benchmarks/retrieval.py --model bundle --survey my_survey --contrastive ~/mmae/contrastive --out figures

The model needs an alignment (ray_jobs/align.py). The recipe `contrastive` is trained on the survey with as many
galaxies as the recipe `small` sees, unless its folder has a checkpoint: 8 minutes on a core without other load. Prints
a table, and draws the reliability diagram of the match probability.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.catalogue_accuracy import NEIGHBOURS, nearest  # noqa: E402
from benchmarks.models.runner import order  # noqa: E402
from benchmarks.models.score import read  # noqa: E402
from benchmarks.models.survey import load, rows  # noqa: E402
from mmae.bundle.bundle import Bundle  # noqa: E402
from mmae.catalogue.align_fit import Evidence, Pairs, evidence  # noqa: E402
from mmae.catalogue.alignment import OTHER, Alignment, load_alignment  # noqa: E402
from mmae.catalogue.fluxes import batch_fluxes  # noqa: E402
from mmae.catalogue.model import load_any  # noqa: E402
from mmae.inference.checkpoint import WEIGHTS  # noqa: E402
from mmae.loader.collate import input_spec  # noqa: E402
from mmae.metrics.bootstrap import rate_score  # noqa: E402
from mmae.model.batch import Batch  # noqa: E402
from mmae.recipes import recipe  # noqa: E402
from mmae.report.style import BLUE, GREEN, GREY, VERMILLION, save_figure, style  # noqa: E402
from mmae.survey.leaks import write_training_rows  # noqa: E402
from mmae.survey.store import Survey, open_survey  # noqa: E402
from mmae.training.checkpoint import save_model  # noqa: E402
from mmae.training.step import create_state, require_finite, training_step  # noqa: E402

CPU = torch.device("cpu")
EXPECTED = 0.5  # fraction of the queries whose galaxy is in the gallery, in the reliability diagram
SMALL = 100  # galaxies of a small gallery
MARKS = ((VERMILLION, "s"), (BLUE, "o"), (GREEN, "^"))
BINS = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
LEAST = 1e-3  # probability above which pairs are counted
LEAST_IN_BIN = 10  # pairs of a point in the figure
SHOWN_EVERY = 50  # steps


@dataclass(frozen=True)
class Table:
    """Found for each input mode: embeddings (N, D), and p(z) (N, Z)."""

    embedding_ND: dict[str, np.ndarray]
    pz_NZ: dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="bundle or checkpoint folder, with an alignment")
    parser.add_argument("--survey", type=Path, required=True)
    parser.add_argument("--contrastive", type=Path, help="folder of the contrastive model; left out if not given")
    parser.add_argument("--split", default="test", help="split of the queries")
    parser.add_argument("--more", help="split that is added to a larger gallery")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder of the figure")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    survey = open_survey(arguments.survey.expanduser())
    bundle = load_any(arguments.model)
    alignment, _ = load_alignment(arguments.model, bundle.hash)
    galaxies = both_measured(load(survey, arguments.split))
    z_N = np.where(galaxies.redshift_known_B, galaxies.redshift_B, np.nan)
    found = predicted(bundle.model, galaxies)
    pairs = pairs_of(bundle, galaxies, found)
    gallery = None
    if arguments.more:
        others = both_measured(load(survey, arguments.more))
        gallery = joined(pairs, pairs_of(bundle, others, predicted(bundle.model, others)))
    results = scores(alignment, pairs, found)
    embeddings = {"": found}
    if arguments.contrastive:
        train_contrastive(survey, arguments.contrastive)
        contrastive = predicted(load_any(arguments.contrastive).model, galaxies)
        results["`contrastive`, cosine"] = {q: cosines(contrastive, q) for q in OTHER}
        embeddings["`contrastive`, "] = contrastive
    print_recall(results, len(galaxies))
    if gallery is not None:
        larger = {query: evidence(alignment, pairs, query, gallery) for query in OTHER}
        similar = {query: alignment.calibration.score(e.distance2_NM, e.overlap_NM) for query, e in larger.items()}
        print_recall({"fluxes and p(z)": similar}, len(gallery))
    print_neighbours(embeddings, z_N)
    figure = reliability_figure(alignment, pairs, gallery)
    print(save_figure(figure, arguments.out / "match_reliability.png"))


def both_measured(galaxies: Batch) -> Batch:
    return rows(galaxies, np.flatnonzero((galaxies.present["image"] & galaxies.present["spectrum"]).numpy()))


def pairs_of(bundle: Bundle, galaxies: Batch, found: Table) -> Pairs:
    flux_NF = batch_fluxes(galaxies, OTHER, bundle.spec.pixel_scale)
    return Pairs({name: f_NF.astype(float) for name, f_NF in flux_NF.items()}, found.pz_NZ)


def joined(one: Pairs, other: Pairs) -> Pairs:
    parts = [
        {name: np.concatenate([values[name], others[name]]) for name in OTHER}
        for values, others in ((one.flux_NF, other.flux_NF), (one.pz_NZ, other.pz_NZ))
    ]
    return Pairs(*parts)


def predicted(model: torch.nn.Module, galaxies: Batch) -> Table:
    found = read(model, galaxies, CPU)
    embedding_ND = {mode: of_mode["embedding"].astype(float) for mode, of_mode in found.items()}
    return Table(embedding_ND, {name: found[name]["probability"].astype(float) for name in OTHER})


def train_contrastive(survey: Survey, folder: Path) -> None:
    """Train the recipe `contrastive` in plain torch, unless the folder has its checkpoint."""
    if (folder / WEIGHTS).exists():
        return
    config = recipe("contrastive")
    galaxies = load(survey, "train", config.stream.repeat_rare)
    state = create_state(config, input_spec(survey.spec), CPU)
    for which_N in order(galaxies, config):
        if state.step >= config.optim.steps:
            break
        state.model.train()
        losses, norm = training_step(state, rows(galaxies, which_N), config)
        if state.step % SHOWN_EVERY == 0:
            require_finite(norm.item(), state.step)
            print(f"contrastive: step {state.step}, loss {losses.total.item():.3f}", file=sys.stderr, flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder, state, state.best_weights, config, {})
    write_training_rows(survey, folder)


def cosines(found: Table, query: str) -> np.ndarray:
    """Cosine (N, N) of the centred embeddings of two modalities."""
    unit = []
    for name in (query, OTHER[query]):
        x_ND = found.embedding_ND[name] - found.embedding_ND[name].mean(0)
        unit.append(x_ND / np.linalg.norm(x_ND, axis=1, keepdims=True))
    return unit[0] @ unit[1].T


def scores(alignment: Alignment, pairs: Pairs, found: Table) -> dict[str, dict[str, np.ndarray]]:
    """Similarity (N, N) of queries and galaxies, by method and modality of the queries."""
    results: dict[str, dict[str, np.ndarray]] = {}
    for query in OTHER:
        one = evidence(alignment, pairs, query)
        for name, score_NN in (
            ("embeddings, cosine", cosines(found, query)),
            ("p(z)", one.overlap_NM),
            ("fluxes", -one.distance2_NM),
            ("fluxes and p(z)", alignment.calibration.score(one.distance2_NM, one.overlap_NM)),
        ):
            results.setdefault(name, {})[query] = score_NN
    return results


def print_recall(results: dict[str, dict[str, np.ndarray]], n: int) -> None:
    heads = [f"{query} → {gallery} recall@{k}" for query, gallery in OTHER.items() for k in (1, 10)]
    print(f"| among {n:,} galaxies | {' | '.join(heads)} |\n{'|---' * (len(heads) + 1)}|")
    print(f"| chance | {' | '.join(f'{k / n:.4f}' for _ in OTHER for k in (1, 10))} |")
    for name, by_query in results.items():
        cells = []
        for score_NN in by_query.values():
            rank_N = (score_NN > np.diag(score_NN)[:, None]).sum(1)
            cells += [rate_score(rank_N < k) for k in (1, 10)]
        print(f"| {name} | {' | '.join(f'{cell.value:.3f} ± {cell.error:.3f}' for cell in cells)} |")


def print_neighbours(embeddings: dict[str, Table], z_N: np.ndarray) -> None:
    """Median |dz| / (1+z) of the ten nearest neighbours by the cosine of centred embeddings."""
    known_N = np.isfinite(z_N)
    z_N = z_N[known_N]
    print(f"\n| {NEIGHBOURS} nearest neighbours among {len(z_N):,} galaxies | median of abs(dz) / (1+z) |\n|---|---|")
    other_NM = np.random.default_rng(0).integers(0, len(z_N), (len(z_N), NEIGHBOURS))
    print(f"| random galaxies | {apart(z_N, other_NM):.4f} |")
    for name, found in embeddings.items():
        for mode, embedding_ND in found.embedding_ND.items():
            print(f"| {name}{mode} | {apart(z_N, nearest(embedding_ND[known_N])):.4f} |")


def apart(z_N: np.ndarray, other_NM: np.ndarray) -> float:
    return float(np.median(np.abs(z_N[other_NM] - z_N[:, None]) / (1 + z_N[:, None])))


def judged(alignment: Alignment, one: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of all pairs above LEAST, and which are true: each query with and without its galaxy."""
    score_NM = alignment.calibration.score(one.distance2_NM, one.overlap_NM)
    own_NM = np.eye(*score_NM.shape, dtype=bool)
    p, true = [], []
    for present in (True, False):
        tried_NM = score_NM if present else np.where(own_NM, -np.inf, score_NM)
        p_NM = alignment.probabilities(tried_NM, one.variate_NR, score_NM.shape[1], EXPECTED)
        p.append(p_NM[p_NM > LEAST])
        true.append((own_NM & present)[p_NM > LEAST])
    return np.concatenate(p), np.concatenate(true)


def in_parts(alignment: Alignment, one: Evidence, size: int) -> tuple[np.ndarray, np.ndarray]:
    """As `judged`, for random parts of the galaxies with this size, each of which is a gallery."""
    n = len(one.variate_NR)
    parts = np.array_split(np.random.default_rng(0).permutation(n), max(1, n // size))
    found = [
        judged(alignment, Evidence(one.distance2_NM[np.ix_(x, x)], one.overlap_NM[np.ix_(x, x)], one.variate_NR[x]))
        for x in parts
    ]
    return np.concatenate([p for p, _ in found]), np.concatenate([true for _, true in found])


@style()
def reliability_figure(alignment: Alignment, pairs: Pairs, gallery: Pairs | None) -> Figure:
    """Fraction of true matches against the match probability, in both directions and for sizes of the gallery."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for ax, query in zip(axes, OTHER, strict=True):
        ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
        one = evidence(alignment, pairs, query)
        found = {SMALL: in_parts(alignment, one, SMALL), len(pairs): judged(alignment, one)}
        if gallery is not None:
            found[len(gallery)] = judged(alignment, evidence(alignment, pairs, query, gallery))
        for (size, (p_X, true_X)), (colour, marker) in zip(found.items(), MARKS, strict=False):
            print(f"{query}, gallery {size}: calibration error {calibration_error(p_X, true_X):.4f}")
            _draw(ax, p_X, true_X, color=colour, marker=marker, label=f"among {size:,} galaxies")
        ax.set(title=f"{query} → {OTHER[query]}", xlabel="match probability", ylabel="fraction of true matches")
        ax.legend(loc="upper left")
    return figure


def _draw(ax: Axes, p_X: np.ndarray, true_X: np.ndarray, **look: str) -> None:
    bin_X = np.digitize(p_X, BINS[1:-1])
    filled = [b for b in np.unique(bin_X) if (bin_X == b).sum() >= LEAST_IN_BIN]
    rates = [rate_score(true_X[bin_X == b]) for b in filled]
    value_B = np.array([rate.value for rate in rates])
    error_2B = np.maximum([value_B - [r.low for r in rates], np.array([r.high for r in rates]) - value_B], 0)
    ax.errorbar([p_X[bin_X == b].mean() for b in filled], value_B, yerr=error_2B, linestyle="", markersize=4, **look)


def calibration_error(p_X: np.ndarray, true_X: np.ndarray) -> float:
    """Mean over pairs of |fraction of true matches - mean probability| in the bins."""
    bin_X = np.digitize(p_X, BINS[1:-1])
    gaps = [abs(true_X[bin_X == b].mean() - p_X[bin_X == b].mean()) * (bin_X == b).mean() for b in np.unique(bin_X)]
    return float(np.sum(gaps))


if __name__ == "__main__":
    main()
