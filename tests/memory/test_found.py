"""Which recalled cases go together, how much each counts, and that an answer comes back as kept."""

from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from remembered import MODEL, remembered

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.memory_prompt import question_of
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import (
    BoxPrompt,
    Edit,
    Freeze,
    MaskPrompt,
    Point,
    Scribble,
)
from napari_fastsam3d.inference.recall_prompts import FindPrompt, FromMemory
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.case import Entry
from napari_fastsam3d.memory.found import Found, nearly_of_one_spacing, shared_out
from napari_fastsam3d.memory.question import DEFAULT_WAY, Question
from napari_fastsam3d.memory.recall import Recall
from napari_fastsam3d.memory.search import Neighbour

SPACINGS = (0.75, 1.0, 1.5, 3.0)


def found(spacing: float, weight: float) -> Found:
    entry = Entry("", "liver", MODEL, spacing, None, 1, "", "", "")
    case: Any = SimpleNamespace(entry=entry)
    return Found(Neighbour(entry, 0.9, weight), case)


cases = st.lists(
    st.builds(found, st.sampled_from(SPACINGS), st.sampled_from([0.5, 0.25, 0.125])), max_size=6
)


@given(cases, st.sampled_from([1.0, 1.5, 4.0]))
def test_cases_of_nearly_one_spacing_go_together_the_commonest_first(given_cases, most):
    kept = nearly_of_one_spacing(given_cases, most)

    shares: dict[float, float] = defaultdict(float)
    for each in given_cases:
        shares[each.case.entry.spacing] += each.neighbour.weight
    if not shares:
        assert kept == ()
        return
    common = kept[0].case.entry.spacing
    assert shares[common] == max(shares.values())
    near = [x for x in given_cases if common / most <= x.case.entry.spacing <= common * most]
    exact = [each.case for each in near if each.case.entry.spacing == common]
    others = [each.case for each in near if each.case.entry.spacing != common]
    assert [each.case for each in kept] == [*exact, *others]
    total = sum(each.neighbour.weight for each in near)
    weights = {id(each.case): each.neighbour.weight / total for each in near}
    for each in kept:
        assert each.neighbour.weight == pytest.approx(weights[id(each.case)])


@given(cases)
def test_shares_sum_to_one_and_keep_their_ratios(given_cases):
    kept = shared_out(iter(given_cases))
    assert len(kept) == len(given_cases)
    if kept:
        assert sum(each.neighbour.weight for each in kept) == pytest.approx(1)
        scale = kept[0].neighbour.weight / given_cases[0].neighbour.weight
        for before, after in zip(given_cases, kept, strict=True):
            assert after.neighbour.weight == pytest.approx(scale * before.neighbour.weight)


VOLUME = Volume.from_array(np.zeros((8, 8, 8), dtype=np.int16))
MEMORY, CLICK = FromMemory("prior", "liver", ("abc",)), Point(1, (1, 2, 3))
BOX = Box((0, 0, 0), (4, 4, 4))
SPOT = PackedMask.of(Mask.of_indices([(1, 1, 1)]))
OUTSIDE = Point(2, (5, 5, 5), False)
LINE, FROZEN = Scribble(3, SPOT), Freeze(4, BOX)
ASKED = Question("prior", "liver", MODEL, CLICK.index, without=("abc",))
SEARCH = FindPrompt(5, "spleen", 7)
SOUGHT = Question(DEFAULT_WAY, "spleen", MODEL, None, 7)


@pytest.mark.parametrize(
    ("prompts", "question"),
    [
        ([], None),
        ([MEMORY], None),
        ([CLICK], None),
        ([MEMORY, CLICK], ASKED),
        ([MEMORY, CLICK, Point(9, (7, 7, 7)), BoxPrompt(6, BOX)], ASKED),
        ([MEMORY, OUTSIDE], None),
        ([MEMORY, OUTSIDE, FROZEN, CLICK], ASKED),
        ([MEMORY, LINE, CLICK], ASKED),
        ([MEMORY, BoxPrompt(6, BOX), CLICK], None),
        ([MEMORY, MaskPrompt(6, SPOT), CLICK], None),
        ([MEMORY, Edit(6, SPOT, PackedMask()), CLICK], None),
        ([MEMORY, Edit(6, PackedMask(), SPOT), CLICK], ASKED),
        ([CLICK, MEMORY], None),
        ([SEARCH], SOUGHT),
        ([SEARCH, CLICK], SOUGHT),
        ([MEMORY, SEARCH, CLICK], SOUGHT),
    ],
)
def test_what_an_object_began_with_alone_is_the_question(prompts, question):
    assert question_of(prompts, MODEL) == question


def recall_of(bank: MemoryBank, answers: dict | None = None) -> Recall:
    predictor: Any = SimpleNamespace(encoder_fingerprint=MODEL, memory_layer=None, name="model")
    return Recall(bank, predictor, VOLUME, answers=answers)


@given(st.lists(st.booleans(), min_size=1, max_size=4))
def test_an_answer_comes_back_to_the_last_bit_and_is_shared_among_those_that_are_left(
    tmp_path_factory, stays
):
    weights = np.random.default_rng(len(stays)).dirichlet(np.ones(len(stays)))
    with MemoryBank(tmp_path_factory.mktemp("bank")) as bank:
        kept = [remembered(seed=n) for n in range(len(stays))]
        for case in kept:
            bank.add(case)
        said = tuple(
            Found(Neighbour(case.entry, 0.5 + n / 10, float(w)), case)
            for n, (case, w) in enumerate(zip(kept, weights, strict=True))
        )
        answers: dict = {}
        recall_of(bank, answers).keep(ASKED, said, (1, 2, 3))
        assert answers[ASKED].place == (1, 2, 3)

        again = recall_of(bank, dict(answers)).known(ASKED)
        assert again is not None
        assert [(x.neighbour.similarity, x.neighbour.weight) for x in again] == [
            (x.neighbour.similarity, x.neighbour.weight) for x in said
        ]

        for case, remains in zip(kept, stays, strict=True):
            if not remains:
                bank.forget(case.entry.id)
        left = recall_of(bank, dict(answers)).known(ASKED)
        assert left is not None
        assert [x.case.entry.id for x in left] == [
            case.entry.id for case, remains in zip(kept, stays, strict=True) if remains
        ]
        if left:
            assert sum(x.neighbour.weight for x in left) == pytest.approx(1)
        assert recall_of(bank, dict(answers)).known(replace(ASKED, click=(0, 0, 0))) is None


def test_a_scan_is_never_described_by_its_own_cases(tmp_path):
    with MemoryBank(tmp_path) as bank:
        own = remembered("Liver", seed=1, scan=VOLUME.content_hash)
        for case in (own, remembered("liver", seed=2), remembered("spleen", seed=3)):
            bank.add(case)
        recall = recall_of(bank)
        found_by = recall.descriptors(" LIVER ")
        assert found_by.shape == (1, 16)
        assert not np.allclose(found_by[0], own.descriptor)
        assert recall.descriptors("kidney").shape == (0, 16)
        assert recall.surroundings("liver") is None
        assert not recall.is_empty


def test_surroundings_are_the_mean_of_those_that_are_remembered(tmp_path):
    rng = np.random.default_rng(0)
    around = rng.normal(size=(4, 7, 7, 7, 3)).astype(np.float16)
    with MemoryBank(tmp_path) as bank:
        scans = ("one", "two", VOLUME.content_hash)
        for n, scan in enumerate(scans):
            bank.add(replace(remembered(seed=n, scan=scan), surroundings=around[n]))
        bank.add(remembered(seed=3, scan="four"))
        found = recall_of(bank).surroundings("liver")
    np.testing.assert_allclose(found, around[:2].astype(np.float32).mean(axis=0), atol=1e-6)


def test_a_bank_of_another_model_is_empty(tmp_path):
    with MemoryBank(tmp_path) as bank:
        bank.add(remembered(model="0" * 64))
        recall = recall_of(bank)
        assert recall.is_empty
        assert recall.descriptors("liver").size == 0
        assert recall.surroundings("liver") is None
