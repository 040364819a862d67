"""Which cases are recalled, beside the plainest way to choose them: look at each, one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.errors import MemoryBankError
from napari_fastsam3d.memory.case import Entry, scan_digest
from napari_fastsam3d.memory.search import Index, Searchable, nearest, of_structure

MODELS = ("this", "other")
NAMES = ("liver", "Liver", "spleen", " left kidney", "LEFT  KIDNEY")
SCANS = ("one", "two", "three")
SALT = "00" * 16


def plain(name: str) -> str:
    return " ".join(name.lower().split())


def rows_of(seed: int, count: int) -> list[tuple[Entry, np.ndarray, np.ndarray]]:
    """Entries with descriptors and scenes, some of which are of no use: zeros."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        name, model = NAMES[rng.integers(len(NAMES))], MODELS[int(rng.random() < 0.2)]
        scan = scan_digest(SCANS[rng.integers(3)], SALT)
        entry = Entry(f"{number:032x}", name, model, 1.5, None, 1, "", SALT, scan)
        vectors = []
        for _ in range(2):
            vector = rng.integers(-2, 3, 4).astype(np.float32)
            vectors.append(vector / max(float(np.linalg.norm(vector)), 1e-9))
        rows.append((entry, *vectors))
    return rows


def index_of(rows) -> Index:
    of_model = {}
    for model in {entry.model for entry, _, _ in rows}:
        own = [row for row in rows if row[0].model == model]
        of_model[model] = Searchable(
            tuple(row[0] for row in own),
            np.array([plain(row[0].name) for row in own]),
            np.stack([row[1] for row in own]),
            np.stack([row[2] for row in own]),
        )
    return Index(tuple(row[0] for row in rows), of_model)


def weights_of(cosines: list[float]) -> list[float]:
    """Inverse distances of unit vectors, of which none is nearer than a thousandth."""
    inverse = [1 / max(np.sqrt(max(2 - 2 * cosine, 0)), 1e-3) for cosine in cosines]
    return [each / sum(inverse) for each in inverse]


def chosen_one_by_one(rows, query, model, name, volume, count, least, by_scene, without):
    """What `nearest` promises: pairs of a case and its cosine, the likest first."""
    of_model = [(e, scene if by_scene else d) for e, d, scene in rows if e.model == model]
    usable = [(e, float(np.dot(v, query))) for e, v in of_model if np.any(v)]
    if name is not None and any(plain(e.name) == plain(name) for e, _ in usable):
        usable = [pair for pair in usable if plain(pair[0].name) == plain(name)]
    usable = [
        (entry, cosine)
        for entry, cosine in usable
        if cosine >= least
        and entry.id not in without
        and (volume is None or entry.volume != scan_digest(volume, SALT))
    ]
    usable.sort(key=lambda pair: -pair[1])  # the older of two that are alike first
    votes: dict[str, float] = {}
    first = usable[:count]
    for (entry, _), weight in zip(first, weights_of([c for _, c in first]), strict=True):
        votes[plain(entry.name)] = votes.get(plain(entry.name), 0) + weight
    if not votes:
        return [], 0.0
    ranked = sorted(votes.values())
    lead = ranked[-1] - ranked[-2] if len(ranked) > 1 else 1.0
    winner = max(votes, key=lambda each: votes[each])
    return [pair for pair in usable if plain(pair[0].name) == winner][:count], lead


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 14),
    name=st.sampled_from([None, "liver", "SPLEEN", "left kidney ", "heart"]),
    volume=st.sampled_from([None, "one", "two"]),
    most=st.integers(0, 5),
    least=st.sampled_from([-1.0, 0.05, 0.6]),
    by_scene=st.booleans(),
    without=st.sets(st.integers(0, 13), max_size=4),
)
def test_what_is_recalled_is_what_looking_at_each_case_finds(
    seed, count, name, volume, most, least, by_scene, without
):
    rows = rows_of(seed, count)
    query = np.array([0.8, 0.6, 0.0, 0.0], np.float32)
    left_out = {f"{number:032x}" for number in without}
    found = nearest(
        index_of(rows),
        query,
        "this",
        name=name,
        volume=volume,
        count=most,
        least=least,
        by_scene=by_scene,
        without=left_out,
    )
    cosines = [float(np.dot(row[2 if by_scene else 1], query)) for row in rows]
    if min(abs(cosine - least) for cosine in cosines) < 1e-6:
        return  # rounding decides
    expected, lead = chosen_one_by_one(
        rows, query, "this", name, volume, most, least, by_scene, left_out
    )
    if expected and lead < 1e-6:
        return  # two structures are as likely
    if not most:
        expected = []
    assert [each.similarity for each in found] == pytest.approx([c for _, c in expected], abs=1e-6)
    ties = len({round(cosine, 5) for _, cosine in expected}) < len(expected)
    if not ties:
        assert [each.entry.id for each in found] == [entry.id for entry, _ in expected]
    assert [each.weight for each in found] == pytest.approx(
        weights_of([each.similarity for each in found]), rel=1e-3
    )


def test_a_model_without_scenes_recalls_nothing_by_them():
    rows = [(entry, vector, np.zeros(0, np.float32)) for entry, vector, _ in rows_of(1, 5)]
    query = np.array([1, 0, 0, 0], np.float32)
    options = {"name": None, "volume": None, "count": 3, "least": -1.0}
    assert nearest(index_of(rows), query, "this", **options, by_scene=True) == ()
    assert nearest(index_of(rows), query, "absent", **options) == ()


@pytest.mark.parametrize(("count", "ending"), [(3, "S 0, S 1, S 2."), (9, "S 7 and others.")])
def test_what_is_not_remembered_is_told_with_some_of_what_is(count, ending):
    entries = [
        Entry(f"{n:032x}", f"S {n}", "this", 1.5, None, 1, "", SALT, SALT[:16])
        for n in range(count)
    ]
    assert of_structure(" s  2", entries) == (entries[2],)
    with pytest.raises(MemoryBankError, match="heart is not remembered") as told:
        of_structure("heart", entries)
    assert told.value.remedy.endswith(ending)
    with pytest.raises(MemoryBankError) as told:
        of_structure("heart", [])
    assert "nothing is remembered yet" in told.value.remedy
