"""What a catalogue loses: p(z) in 96 bytes against the full p(z), and embeddings in float16 and int8.

    python benchmarks/catalogue_accuracy.py --model bundle --survey my_survey        half a minute for 800 galaxies

The galaxies are those of the test split with a redshift. Coverage is the fraction of true redshifts in the central
intervals of p(z), averaged over seeds of the randomised PIT.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from mmae.bundle.bundle import Bundle  # noqa: E402
from mmae.bundle.predictions import Predictions  # noqa: E402
from mmae.catalogue.model import load_any  # noqa: E402
from mmae.catalogue.pz_code import decode_pz, encode_pz  # noqa: E402
from mmae.catalogue.source import open_input, read_piece  # noqa: E402
from mmae.loader.collate import to_batch  # noqa: E402
from mmae.metrics.pz_calibration import inside, randomised_pit  # noqa: E402
from mmae.metrics.pz_distribution import RedshiftPDF  # noqa: E402
from mmae.metrics.pz_scores import crps  # noqa: E402

LEVELS = (0.50, 0.68, 0.90, 0.95)
SEEDS, NEIGHBOURS, BATCH = 20, 10, 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="bundle or checkpoint folder")
    parser.add_argument("--survey", required=True)
    arguments = parser.parse_args()
    bundle = load_any(arguments.model)
    for use in ((name,) for name in bundle.modalities):
        report(bundle, arguments.survey, use)
    if len(bundle.modalities) > 1:
        report(bundle, arguments.survey, bundle.modalities)


def report(bundle: Bundle, survey: str, use: tuple[str, ...]) -> None:
    found, z_N = predict(bundle, survey, use)
    known_N = np.isfinite(z_N) & np.isfinite(found.z_median)
    edges_K1, z_N = np.log1p(found.pz_edges), z_N[known_N]
    full = RedshiftPDF(edges_K1, found.pz[known_N])
    coded = decode_pz(*encode_pz(found.pz[known_N], edges_K1), edges_K1)
    loss = crps(coded, z_N).mean() / crps(full, z_N).mean() - 1
    shifts = [100 * (coverage(coded, z_N, level) - coverage(full, z_N, level)) for level in LEVELS]
    error = np.abs(coded.cumulative_NK1() - full.cumulative_NK1()).max()
    print(f"{' and '.join(use)}: {len(z_N)} galaxies; CRPS {loss:+.3%}, largest error of the CDF {error:.4f}, coverage")
    print("   " + ", ".join(f"{level:.0%} {shift:+.2f}" for level, shift in zip(LEVELS, shifts, strict=True)))
    embedding_ND = found.embedding[known_N]
    scale_N1 = np.abs(embedding_ND).max(1, keepdims=True) / 127
    for name, stored_ND in (
        ("float16", embedding_ND.astype(np.float16).astype(np.float32)),
        ("int8", np.rint(embedding_ND / scale_N1) * scale_N1),
    ):
        print(
            f"   embedding in {name}: {kept(embedding_ND, stored_ND):.2%} of the {NEIGHBOURS} neighbours stay",
            flush=True,
        )


def predict(bundle: Bundle, survey: str, use: tuple[str, ...]) -> tuple[Predictions, np.ndarray]:
    """Predictions and redshifts of the test split."""
    given = open_input(survey, bundle.spec, bundle.modalities, use=use, splits=("test",), piece_rows=BATCH)
    tables = [t for piece in given.pieces for t in read_piece(piece, [*given.columns, "redshift"], BATCH)]
    found = bundle.predict_batches((to_batch(table, given.spec) for table in tables), anomaly=False)
    redshift = pa.concat_tables(tables)["redshift"]
    return found, redshift.cast("float64").to_numpy()


def coverage(pdf: RedshiftPDF, z_N: np.ndarray, level: float) -> float:
    return float(np.mean([inside(randomised_pit(pdf, z_N, seed), level).mean() for seed in range(SEEDS)]))


def kept(full_ND: np.ndarray, stored_ND: np.ndarray) -> float:
    """Fraction of the nearest neighbours (cosine, centred) that stay the same."""
    before_NM, after_NM = nearest(full_ND), nearest(stored_ND)
    return float(np.mean([len(set(a) & set(b)) / NEIGHBOURS for a, b in zip(before_NM, after_NM, strict=True)]))


def nearest(embedding_ND: np.ndarray) -> np.ndarray:
    unit_ND = embedding_ND - embedding_ND.mean(0)
    unit_ND = unit_ND / np.linalg.norm(unit_ND, axis=1, keepdims=True)
    cosine_NN = unit_ND @ unit_ND.T
    np.fill_diagonal(cosine_NN, -np.inf)
    return np.argsort(-cosine_NN, axis=1)[:, :NEIGHBOURS]


if __name__ == "__main__":
    main()
