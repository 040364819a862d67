"""Cases as a bank keeps them, of random numbers."""

import numpy as np

from napari_fastsam3d.memory.bank import new_identity
from napari_fastsam3d.memory.case import Case, Entry, Tokens, scan_digest

MODEL = "fedcba98" * 8


def remembered(
    name: str = "liver",
    seed: int = 0,
    model: str = MODEL,
    scan: str = "another scan",
    descriptor: np.ndarray | None = None,
    cells: int = 4,
) -> Case:
    rng = np.random.default_rng(seed)
    identity, salt = new_identity()
    if descriptor is None:
        descriptor = rng.normal(size=16)
    tokens = Tokens(
        rng.normal(size=(cells, cells, cells, 8)).astype(np.float16),
        rng.random((cells, cells, cells)).astype(np.float16),
        (-6.0, -6.0, -6.0),
        6.0,
    )
    entry = Entry(identity, name, model, 1.5, 0.9, 3, "2026-11-28", salt, scan_digest(scan, salt))
    vectors = rng.normal(size=(2, 4, 8)).astype(np.float16)
    return Case(
        entry,
        (descriptor / np.linalg.norm(descriptor)).astype(np.float32),
        (tokens,),
        vectors[0],
        vectors[1],
        rng.normal(size=(2, 8, 4)).astype(np.float16),
        rng.normal(size=(2, 8, 4)).astype(np.float16),
    )
