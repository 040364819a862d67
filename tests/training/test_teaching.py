"""Teaching a structure: what it learns, what decides, and that a stop costs little."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from remembered import remembered
from small_pyramid import ball_scan, small_pyramid

from napari_fastsam3d.errors import AdapterError, MemoryBankError
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.automatic import AutomaticStructure, segment_automatically
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.scan_part import kept_scan
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.kept_scan import KeptScan
from napari_fastsam3d.model.adaptation import AdapterConfig
from napari_fastsam3d.model.adapter import Adapter, Gain
from napari_fastsam3d.model.adapter_store import AdapterStore
from napari_fastsam3d.model.default.predictor import PyramidPredictor
from napari_fastsam3d.training.adaptation import objective
from napari_fastsam3d.training.adaptation.adapt import adapt
from napari_fastsam3d.training.adaptation.cases import (
    TeachingCase,
    folds_of,
    remembered_teaching_cases,
)
from napari_fastsam3d.training.adaptation.outcome import Outcome, TeachingOptions
from napari_fastsam3d.training.adaptation.protocols import options_of
from napari_fastsam3d.training.adaptation.teaching import Teaching

# Dies in the second fold, in the middle of its third step.
KILLED = """
import os, signal, sys
from pathlib import Path
from test_teaching import case, options, small_pyramid
from napari_fastsam3d.training.adaptation import teaching

teaching._SAVED_EVERY = 0.0
work = teaching.Teaching(
    "ball", [case(n) for n in range(3)], small_pyramid(), options(3), Path(sys.argv[1])
)
for _ in range(15):
    assert work.advance()
work.advance(lambda: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.fixture(scope="module")
def predictor() -> PyramidPredictor:
    return small_pyramid()


def case(seed: int, patient: str | None = None, edge: int = 30) -> TeachingCase:
    def read() -> tuple[Volume, Mask]:
        return ball_scan(seed, edge)

    return TeachingCase(f"case {seed}", patient or str(seed), read, read)


def options(steps: int, folds: int = 2, **config: bool) -> TeachingOptions:
    return TeachingOptions(AdapterConfig("bottleneck", **config), steps=steps, folds=folds)


def test_what_is_taught_is_segmented_without_a_prompt(
    predictor: PyramidPredictor, monkeypatch: pytest.MonkeyPatch
):
    # A network of random weights needs more than a trained one.
    monkeypatch.setitem(objective.RATES, "bottleneck", 0.03)
    teaching = Teaching("ball", [case(n) for n in range(6)], predictor, options(40, folds=0))

    adapter = teaching.run().adapter

    volume, truth = ball_scan(11)
    asked = AutomaticStructure("ball", adapter.fitted_to(predictor), adapter.spacing)
    (found,) = segment_automatically(volume, predictor, [asked])
    assert found.mask.agreement(truth) > 0.6
    assert 0 < found.predicted_iou <= 1
    untaught = AutomaticStructure("ball", predictor, adapter.spacing)
    (plain,) = segment_automatically(volume, predictor, [untaught])
    assert found.mask.agreement(truth) > plain.mask.agreement(truth) + 0.2


def test_both_numbers_are_told_and_one_that_does_not_help_is_not_kept(
    tmp_path: Path, predictor: PyramidPredictor
):
    store, told = AdapterStore(tmp_path), list[tuple[str, int, int]]()

    outcome = adapt(
        "ball",
        cases=[case(n) for n in range(3)],
        model=predictor,
        options=options(1, folds=3),
        store=store,
        tell=lambda *done: told.append(done),
    )

    gain = outcome.adapter.gain
    assert gain is not None
    assert (gain.cases, gain.folds, gain.clicks) == (3, 3, (0, 1, 3))
    assert all(value is not None for value in (*gain.plain[1:], *gain.adapted))
    assert all(f"{value:.3f}" in str(outcome) for value in gain.adapted if value is not None)
    assert outcome.helps == (gain.mean > 0.005) == store.has("ball")
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert all(done <= of for _, done, of in told)
    assert not [*tmp_path.glob(".unfinished/*")]


def test_the_verdict_is_told():
    gain = Gain((0, 1, 3), (None, 0.5, 0.6), (0.4, 0.49, 0.61), 4, 4)
    config = AdapterConfig("norm")
    adapter = Adapter("liver", config, "abc", "small", None, 4, gain, {})

    assert "does not help" in str(Outcome(adapter, helps=False))
    assert "0 clicks - -> 0.400, 1 click 0.500 -> 0.490" in str(Outcome(adapter, helps=False))
    assert "helps" in str(Outcome(adapter, helps=True))


def test_work_whose_process_is_killed_goes_on_to_the_same_weights(
    tmp_path: Path, predictor: PyramidPredictor, monkeypatch: pytest.MonkeyPatch
):
    """Once for all, by the system; then it is given up now and again, and gone on with."""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    cases = [case(n) for n in range(3)]
    whole = Teaching("ball", cases, predictor, options(3)).run()
    monkeypatch.setattr(f"{Teaching.__module__}._SAVED_EVERY", 0.0)
    stopped = 0
    while True:
        teaching = Teaching("ball", cases, predictor, options(3), tmp_path)
        done_before = teaching.progress[1]
        assert done_before >= 7, "a fold of three steps, and what was measured of two cases"
        pieces = 0
        while pieces < 9 and teaching.advance():
            pieces += 1
        if teaching.outcome is not None:
            break
        stopped += 1

    assert stopped >= 1
    again = teaching.outcome.adapter
    assert again.gain == whole.adapter.gain
    for name, value in whole.adapter.tensors.items():
        torch.testing.assert_close(again.tensors[name], value, rtol=0, atol=0)


def test_a_piece_that_is_interrupted_is_done_again(predictor: PyramidPredictor):
    cases = [case(n) for n in range(3)]
    whole = Teaching("ball", cases, predictor, options(4, folds=0)).run()

    teaching = Teaching("ball", cases, predictor, options(4, folds=0))
    numbers = iter(range(1, 1000))

    def now_and_then() -> None:
        if next(numbers) in (2, 5, 9, 14):
            raise InterruptedError

    while teaching.outcome is None:
        try:
            teaching.advance(now_and_then)
        except InterruptedError:
            continue

    assert teaching.outcome.adapter.identity == whole.adapter.identity


def test_patients_are_not_on_both_sides():
    cases = [case(n, patient="ab"[n % 2] if n < 4 else str(n)) for n in range(9)]

    folds = folds_of(cases, 3)

    assert sorted(n for fold in folds for n in fold) == [*range(9)]
    for fold in folds:
        inside = {cases[n].patient for n in fold}
        assert not inside & {each.patient for n, each in enumerate(cases) if n not in fold}
    assert len(folds_of(cases, 99)) == 7
    assert folds_of(cases[:1], 4) == []


def test_a_structure_is_looked_at_from_afar_where_the_scan_goes_on(predictor: PyramidPredictor):
    teaching = Teaching(
        "ball", [case(n, edge=60) for n in range(3)], predictor, options(2, folds=0)
    )

    adapter = teaching.run().adapter

    kinds = [view.clickable for views in teaching.views for view in views]
    assert kinds == 3 * [True, False]
    volume, _ = ball_scan(7, edge=60)
    asked = AutomaticStructure("ball", adapter.fitted_to(predictor), adapter.spacing)
    twice = segment_automatically(volume, predictor, [asked, asked])
    assert [each.name for each in twice] == ["ball", "ball"]
    assert twice[0].mask.agreement(twice[1].mask) == 1


def test_samed_learns_without_prompts_at_its_own_rates(predictor: PyramidPredictor):
    chosen = options_of("samed", steps=2, folds=0)
    assert chosen.config == AdapterConfig("lora", encoder=True)
    rates = [chosen.objective.rate(step, 1000) for step in range(1000)]
    assert rates[249] == max(rates) == pytest.approx(0.005)
    assert rates[124] == pytest.approx(0.0025)
    assert rates[625] == pytest.approx(0.005 * 0.5**0.9)

    adapter = Teaching("ball", [case(n) for n in range(3)], predictor, chosen).run().adapter

    assert any(".up." in name and value.any() for name, value in adapter.tensors.items())
    with pytest.raises(AdapterError, match="no protocol 'other'"):
        options_of("other")


def test_an_adapted_encoder_learns_too(predictor: PyramidPredictor):
    cases = [case(n) for n in range(3)]

    adapter = Teaching("ball", cases, predictor, options(2, folds=0, encoder=True)).run().adapter

    moved = [name for name, value in adapter.tensors.items() if value.abs().max() > 0]
    assert any(name.startswith("encoder.") and "up." in name for name in moved)


def test_too_few_cases_are_one_error(tmp_path: Path, predictor: PyramidPredictor):
    with pytest.raises(AdapterError, match="2 cases of ball"):
        Teaching("ball", [case(0), case(1)], predictor)
    with MemoryBank(tmp_path) as bank, pytest.raises(MemoryBankError, match="not remembered"):
        adapt("ball", bank, model=predictor)
    with pytest.raises(AdapterError, match="no kind 'magic'"):
        adapt("ball", cases=[], kind="magic", model=predictor)  # pyright: ignore[reportArgumentType]


def test_a_part_of_a_scan_is_kept_as_the_model_would_see_it(predictor: PyramidPredictor):
    volume, mask = ball_scan(4, edge=60)

    kept = KeptScan.of_bytes(kept_scan(volume, mask, CropPolicy.of(volume, predictor)).to_bytes())

    near, own = kept.near.read()
    assert near.shape == (32, 32, 32)
    assert kept.far is not None
    share = np.count_nonzero(own.voxels) * near.voxel_mm3
    assert share == pytest.approx(np.count_nonzero(mask.voxels) * volume.voxel_mm3, rel=0.1)
    inside = near.voxels[own.box.slices][own.voxels].mean()
    assert inside == pytest.approx(100, abs=15)
    with pytest.raises(ValueError, match="pickle"):
        KeptScan.of_bytes(b"nothing")


def test_what_a_bank_kept_can_be_taught_and_is_forgotten_with_it(
    tmp_path: Path, predictor: PyramidPredictor
):
    with MemoryBank(tmp_path) as bank:
        for seed in range(3):
            volume, mask = ball_scan(seed, 60)
            known = remembered("ball", seed)
            bank.add(known)
            policy = CropPolicy.of(volume, predictor)
            bank.scans.put(known.entry.id, kept_scan(volume, mask, policy))
        cases = remembered_teaching_cases(bank, "BALL")
        assert len(cases) == 3
        teaching = Teaching("ball", cases, predictor, options(1, folds=0))
        assert teaching.run().adapter.spacing == policy.spacing_to_teach(mask.box)
        kinds = [view.clickable for views in teaching.views for view in views]
        assert kinds == 3 * [True, False], "they are seen from afar too, for their scans went on"

        bank.forget(bank.list()[0].id)

        assert len(remembered_teaching_cases(bank, "ball")) == 2
        bank.forget_structure("ball")
        assert bank.scans.size == 0
