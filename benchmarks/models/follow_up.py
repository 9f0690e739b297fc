"""Does a model learn more from the spectra that ray_jobs/follow_up.py asks for than from others?

    python -m benchmarks.models.follow_up --model ~/mmae/runs/NAME/bundle --survey ~/mmae/surveys/models \\
        --cache tokens.npz

The encoder is frozen: images of the galaxies that the model was not trained on are encoded once, and only a fresh
redshift head is trained, so that a run takes seconds. (The encoder has seen the redshifts of its own training, which
are of other galaxies.) For each seed LABELS galaxies of the training split have a redshift. A head is trained with
them; its p(z) from images and the embeddings rank the others; the redshifts of the first CHOSEN are added, and a new
head is trained in the same number of steps. The table has the scores from the images of another split: the mean over
the seeds and its error, and that of the difference from a random choice with the same seed.

Shape suffixes: N galaxies, V tokens, D width, K bins, M labelled galaxies.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import mmae
from mmae.catalogue.follow_up import choose_targets
from mmae.catalogue.training_rows import read_training_rows
from mmae.loader.collate import galaxy_columns, to_batch
from mmae.metrics.pz_distribution import RedshiftPDF
from mmae.metrics.pz_scores import crps
from mmae.metrics.redshift import score_redshift
from mmae.model.batch import Batch
from mmae.model.config import MMAEConfig
from mmae.model.masking import fixed_visible
from mmae.model.mmae import MMAE
from mmae.model.part_configs import RedshiftConfig
from mmae.model.redshift import RedshiftHead, bin_edges, bin_probability, redshift_interval, redshift_loss, refined
from mmae.survey.store import Survey, open_survey

LABELS, CHOSEN, SEEDS = 500, 500, 3
STEPS, BATCH = 200, 64
LEARNING_RATE, WEIGHT_DECAY, CLIP, AVERAGED = 2e-3, 0.05, 1.0, 0.98
HIDDEN = 0.1  # fraction of the tokens that a training step sees as zeros
READ = 128  # galaxies at a time
SCORES = ("sigma_nmad", "outlier_rate", "crps")


@dataclass(frozen=True)
class Encoded:
    """Galaxies with an image and a redshift, that were not in the training of the encoder.

    Attributes:
        token_NVD: output of the encoder, float16.
        redshift_N: measured redshifts.
        split_N: train, val or test.
    """

    token_NVD: Tensor
    redshift_N: Tensor
    split_N: np.ndarray

    def rows(self, split: str) -> np.ndarray:
        return np.flatnonzero(self.split_N == split)


@dataclass(frozen=True)
class Found:
    """What a head finds.

    Attributes:
        redshift_N: median of p(z).
        width_N: half width of its 68% interval / (1 + z).
        pdf: p(z).
    """

    redshift_N: np.ndarray
    width_N: np.ndarray
    pdf: RedshiftPDF


Ranking = Callable[[Found, np.ndarray, np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""Found, embeddings (N, D), masks (N,) of known galaxies and candidates, and a generator -> indices of CHOSEN."""


def ours(found: Found, embedding_ND: np.ndarray, known_N: np.ndarray, candidate_N: np.ndarray, _) -> np.ndarray:
    return choose_targets(embedding_ND, found.width_N, known_N, candidate_N, CHOSEN).order_T


def at_random(_found, _embedding, _known, candidate_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(np.flatnonzero(candidate_N))[:CHOSEN]


def widest(found: Found, _embedding, _known, candidate_N: np.ndarray, _) -> np.ndarray:
    at = np.flatnonzero(candidate_N)
    return at[np.argsort(-found.width_N[at], kind="stable")[:CHOSEN]]


RANKINGS: dict[str, Ranking] = {"random": at_random, "widest p(z) first": widest, "follow_up.py": ours}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a bundle of recipe base or small")
    parser.add_argument("--survey", type=Path, required=True, help="folder of a survey with more galaxies")
    parser.add_argument(
        "--cache", type=Path, required=True, help="file of the encoded images; written if it is missing"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help="repetitions with other labelled galaxies")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first of them")
    parser.add_argument("--split", default="test", help="split that is scored")
    parser.add_argument("--jobs", type=int, default=2, help="concurrent repetitions, one thread each")
    arguments = parser.parse_args()
    model = mmae.load(arguments.model).model
    assert isinstance(model, MMAE)
    if not arguments.cache.exists():
        encode(model, arguments.model, open_survey(arguments.survey), arguments.cache)
    runs = joblib.Parallel(arguments.jobs)(
        joblib.delayed(one_seed)(seed, model.config, arguments.cache, arguments.split)
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    )
    print(table(runs))


@torch.inference_mode()
def encode(model: MMAE, bundle: Path, survey: Survey, out: Path) -> None:
    """Encode all images of galaxies that were not in training, and write them with redshifts and splits."""
    model.eval()
    trained = read_training_rows(bundle)
    assert trained is not None
    tokens, redshifts, splits = [], [], []
    for shard in survey.shards:
        rows = pq.read_table(
            survey.path / shard.path, columns=[*galaxy_columns(survey), "ra", "dec"], partitioning=None
        )
        new_N = ~trained.contain(rows["ra"].to_numpy(), rows["dec"].to_numpy())
        batch = to_batch(rows, survey.spec)
        usable_N = new_N & (batch.redshift_known_B & batch.present["image"]).numpy()
        for start in range(0, int(usable_N.sum()), READ):
            at = torch.from_numpy(np.flatnonzero(usable_N)[start : start + READ])
            some = replace(batch.map(lambda tensor, at=at: tensor[at]), object_id=[batch.object_id[i] for i in at])
            tokens.append(_tokens(model, some))
            redshifts.append(some.redshift_B)
            splits += [shard.split] * len(at)
    token_NVD = torch.cat(tokens).half().numpy()
    np.savez(out, token=token_NVD, redshift=torch.cat(redshifts).numpy(), split=np.array(splits))


def _tokens(model: MMAE, batch: Batch) -> Tensor:
    (group,) = model.encode(batch, fixed_visible(batch, model.n_tokens, ("image",))).groups
    return group.token_BVD[group.row_B.argsort()]


def read_encoded(path: Path) -> Encoded:
    with np.load(path, allow_pickle=False) as file:
        return Encoded(torch.from_numpy(file["token"]), torch.from_numpy(file["redshift"]), file["split"])


def one_seed(seed: int, config: MMAEConfig, cache: Path, split: str) -> dict[str, dict[str, float]]:
    """Scores of the head with LABELS galaxies, and with CHOSEN more by each ranking."""
    torch.set_num_threads(1)
    galaxies, rng = read_encoded(cache), np.random.default_rng(seed)
    # Bins of p(z) as they are stored: a scatter of 0.02 does not need the finer ones, which take most of the time.
    redshift = replace(config.redshift, refinement=1)
    train, test = rng.permutation(galaxies.rows("train")), galaxies.rows(split)
    known, n = train[:LABELS], len(galaxies.redshift_N)
    known_N, candidate_N = np.zeros(n, bool), np.zeros(n, bool)
    known_N[known], candidate_N[train[LABELS:]] = True, True
    embedding_ND = galaxies.token_NVD.float().mean(1).numpy()
    head = train_head(galaxies, known, config, redshift, seed)
    found = predict(head, galaxies.token_NVD, redshift)
    chosen = {"none": known[:0]}
    chosen |= {name: ranking(found, embedding_ND, known_N, candidate_N, rng) for name, ranking in RANKINGS.items()}
    scores, z_N = {}, galaxies.redshift_N[test].double().numpy()
    for name, more in chosen.items():
        head = train_head(galaxies, np.concatenate([known, more]), config, redshift, seed)
        scores[name] = _scores(predict(head, galaxies.token_NVD[test], redshift), z_N, seed)
    return scores


def train_head(
    galaxies: Encoded, row_M: np.ndarray, config: MMAEConfig, redshift: RedshiftConfig, seed: int
) -> RedshiftHead:
    """A fresh redshift head, trained on the encoded images of some galaxies; returns its averaged weights."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    head = RedshiftHead(config.width, config.heads, redshift)
    averaged = AveragedModel(head, multi_avg_fn=get_ema_multi_avg_fn(AVERAGED))
    optimiser = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, STEPS, pct_start=0.1)
    for row_B in _batches(row_M, rng):
        token_BVD = galaxies.token_NVD[row_B].float()
        shown_BV1 = torch.rand(token_BVD.shape[:2])[..., None] > HIDDEN
        logits_BZ = refined(head(token_BVD * shown_BV1, None), redshift)
        loss = redshift_loss(logits_BZ, galaxies.redshift_N[row_B], torch.ones(len(row_B)), redshift)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), CLIP)
        optimiser.step()
        schedule.step()
        averaged.update_parameters(head)
    return averaged.module.eval()


def _batches(row_M: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    left = np.empty(0, int)
    for _ in range(STEPS):
        while len(left) < BATCH:
            left = np.concatenate([left, rng.permutation(row_M)])
        yield left[:BATCH]
        left = left[BATCH:]


@torch.inference_mode()
def predict(head: RedshiftHead, token_NVD: Tensor, redshift: RedshiftConfig) -> Found:
    points, probabilities = [], []
    for some in token_NVD.split(READ):
        logits_BZ = refined(head(some.float(), None), redshift)
        points.append(torch.stack(redshift_interval(logits_BZ, redshift), 1))
        probabilities.append(bin_probability(logits_BZ, redshift))
    median_N, low_N, high_N = torch.cat(points).double().numpy().T
    pdf = RedshiftPDF(bin_edges(redshift).double().numpy(), torch.cat(probabilities).numpy())
    return Found(median_N, (high_N - low_N) / 2 / (1 + median_N), pdf)


def _scores(found: Found, z_N: np.ndarray, seed: int) -> dict[str, float]:
    scores = score_redshift(z_N, found.redshift_N, seed=seed, resamples=1)
    return {name: scores[name].value for name in SCORES[:2]} | {SCORES[2]: float(crps(found.pdf, z_N).mean())}


def table(runs: list[dict[str, dict[str, float]]]) -> str:
    """Means over the seeds and their errors, and differences from the random choice, as a Markdown table."""
    lines = ["| redshifts added | " + " | ".join(f"{name} | against random" for name in SCORES) + " |"]
    lines.append("|---" * (1 + 2 * len(SCORES)) + "|")
    for name in runs[0]:
        cells = []
        for score in SCORES:
            value_S = np.array([run[name][score] for run in runs])
            cells += [_mean(value_S, ""), _mean(value_S - [run["random"][score] for run in runs], "+")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(value_S: np.ndarray, sign: str) -> str:
    error = value_S.std(ddof=1) / math.sqrt(len(value_S)) if len(value_S) > 1 else math.nan
    return f"{value_S.mean():{sign}.4f} ± {error:.4f}"


if __name__ == "__main__":
    main()
