from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from remembered import MODEL, remembered

from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.search import inverse_distances

X, Y, Z = np.eye(3, dtype=np.float32)


def towards(*parts: float) -> np.ndarray:
    return np.array(parts) / np.linalg.norm(parts)


@pytest.fixture
def bank(tmp_path: Path):
    with MemoryBank(tmp_path) as bank:
        yield bank


def test_the_likest_cases_are_recalled_the_likest_first(bank: MemoryBank):
    rng = np.random.default_rng(0)
    cases = [remembered(descriptor=rng.normal(size=8)) for _ in range(20)]
    for case in cases:
        bank.add(case)
    query = cases[7].descriptor

    found = bank.recall(query, MODEL, count=5)

    cosines = {case.entry.id: float(case.descriptor @ query) for case in cases}
    expected = sorted(cosines, key=lambda each: -cosines[each])[:5]
    assert [each.entry.id for each in found] == expected
    assert [each.similarity for each in found] == pytest.approx([cosines[e] for e in expected])


def test_the_same_scan_never_recalls_itself(bank: MemoryBank):
    bank.add(remembered(descriptor=X, scan="this scan"))
    other = remembered(descriptor=towards(1, 1, 0), scan="another")
    bank.add(other)

    (found,) = bank.recall(X, MODEL, volume="this scan")

    assert found.entry.id == other.entry.id


def test_what_is_too_unlike_is_not_used(bank: MemoryBank):
    bank.add(remembered(descriptor=Y))
    assert bank.recall(X, MODEL, least=0.1) == ()
    assert len(bank.recall(X, MODEL, least=-0.1)) == 1


def test_cases_of_another_model_are_kept_and_not_used(bank: MemoryBank):
    bank.add(remembered(descriptor=X, model="other"))

    assert bank.recall(X, MODEL) == ()
    assert bank.stats().models == {"other": 1}


def test_an_object_with_a_name_recalls_its_own_structure(bank: MemoryBank):
    bank.add(remembered("spleen", descriptor=X))
    bank.add(remembered("Liver", descriptor=Y))

    assert [each.entry.name for each in bank.recall(X, MODEL, name="liver")] == ["Liver"]
    assert [each.entry.name for each in bank.recall(X, MODEL, name="kidney")] == ["spleen"]


def test_a_named_object_takes_no_other_structure_where_its_own_is_too_unlike(bank: MemoryBank):
    bank.add(remembered("spleen", descriptor=X))
    bank.add(remembered("liver", descriptor=Y))

    assert bank.recall(X, MODEL, name="liver", least=0.5) == ()


def test_a_part_and_the_whole_are_not_mixed(bank: MemoryBank):
    for name, descriptor in (
        ("whole", towards(1, 0.2, 0)),
        ("part", towards(1, 0.1, 0)),
        ("whole", towards(1, 0.12, 0)),
        ("whole", towards(1, 0.5, 0)),
    ):
        bank.add(remembered(name, descriptor=descriptor))

    found = bank.recall(towards(1, 0.14, 0).astype(np.float32), MODEL, count=3)

    assert [each.entry.name for each in found] == ["whole"] * 3


def test_an_empty_bank_recalls_nothing(bank: MemoryBank):
    assert bank.recall(X, MODEL) == ()


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=5))
def test_weights_are_inverse_distances(cosines: list[float]):
    weights = np.array(inverse_distances(np.array(cosines, np.float32)))

    assert weights.sum() == pytest.approx(1)
    order = np.argsort(cosines, kind="stable")
    assert (np.diff(weights[order]) >= -1e-9).all()


def test_weights_of_known_distances():
    angles = np.array([0.5, 1.0, 2.0])
    expected = 1 / (2 * np.sin(angles / 2))
    weights = inverse_distances(np.cos(angles).astype(np.float32))
    assert weights == pytest.approx(expected / expected.sum(), rel=1e-5)
