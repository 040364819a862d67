"""A process that trains alone, and how adapting is asked for by name."""

import pytest
import torch
from brightness_model import BrightnessModel
from small_pyramid import small_pyramid

from napari_fastsam3d.errors import AdapterError, TrainingError
from napari_fastsam3d.training.adaptation.measure import CLICKS
from napari_fastsam3d.training.adaptation.objective import Clicked, SAMed
from napari_fastsam3d.training.adaptation.outcome import TeachingOptions, gain_of
from napari_fastsam3d.training.adaptation.protocols import options_of
from napari_fastsam3d.training.adaptation.teaching import adaptable
from napari_fastsam3d.training.ranks import Ranks, join, leave
from napari_fastsam3d.training.tissues import _NAMES, TISSUES, tissue_of


def test_alone_there_is_nobody_to_average_or_agree_with(monkeypatch):
    for name in ("WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    alone, device = join("cpu")
    assert (alone, device) == (Ranks(0, 1), "cpu")
    assert alone.first
    assert not Ranks(1, 2).first
    tensor = torch.arange(3.0)
    alone.average([tensor])
    assert tensor.tolist() == [0, 1, 2]
    assert alone.agree(True)
    assert not alone.agree(False)
    leave()
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(("local", "gpus"), [("0", 0), ("2", 2), ("7", 4)])
def test_fewer_gpus_than_processes_are_told_before_anything_is_joined(monkeypatch, local, gpus):
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", local)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(TrainingError, match=f"There are {gpus} GPUs here"):
        join("cuda")
    assert not torch.distributed.is_initialized()


def test_a_protocol_decides_what_is_not_asked_for():
    plain, samed = options_of(), options_of("samed")
    assert plain == TeachingOptions()
    assert (plain.config.kind, plain.config.encoder, plain.samed) == ("bottleneck", False, False)
    assert (samed.config.kind, samed.config.encoder, samed.samed) == ("lora", True, True)
    assert isinstance(plain.objective, Clicked)
    assert isinstance(samed.objective, SAMed)
    assert options_of("samed", "norm").config.encoder is False
    assert options_of(encoder=True).config.encoder
    asked = options_of("clicks", "lora", steps=7, folds=2)
    assert (asked.config.kind, asked.steps, asked.folds, asked.measured) == ("lora", 7, 2, True)
    assert not options_of(folds=0).measured
    assert options_of().steps == options_of(folds=0).steps


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("sam",), "no protocol 'sam'"),
        (("",), "no protocol ''"),
        (("clicks", "prefix"), "no kind 'prefix'"),
        (("samed", "LoRA"), "no kind 'LoRA'"),
    ],
)
def test_what_is_no_protocol_or_kind_is_one_error_that_names_those_there_are(arguments, told):
    with pytest.raises(AdapterError, match=told) as caught:
        options_of(*arguments)
    assert "Choose one of" in caught.value.remedy


def test_only_models_that_compute_here_and_have_parts_can_be_adapted():
    predictor = small_pyramid()
    assert adaptable(predictor) is predictor
    with pytest.raises(AdapterError, match="brightness can't be adapted"):
        adaptable(BrightnessModel())


def test_what_nobody_measured_is_no_gain():
    assert gain_of({}, {}, 4) is None
    known = ((0.2, None, 0.4, 0.5), (None, None, 3.0, 2.0))
    gain = gain_of({0: _scores(known), 2: _scores(known)}, {0: _scores(known)}, 2)
    assert (gain.cases, gain.folds) == (1, 2)
    assert len(gain.plain) == len(gain.adapted) == len(CLICKS)
    assert gain.plain[0] == pytest.approx(0.2)
    assert gain.plain[1] is None


def _scores(known):
    """Numbers for as many clicks as are measured, the last one again where there are more."""
    return tuple(tuple([*row, *[row[-1]] * len(CLICKS)][: len(CLICKS)]) for row in known)


def test_every_tissue_has_ranges_that_a_scan_can_show():
    assert {tissue for tissue, _ in _NAMES} <= TISSUES.keys()
    for name, tissue in TISSUES.items():
        for low, high in (tissue.plain, tissue.arterial, tissue.venous):
            assert -1024 <= low < high <= 3071, name
        assert tissue.texture > 0
        # Contrast agent darkens nothing.
        assert tissue.arterial >= tissue.plain
        assert tissue.venous >= tissue.plain
        if tissue.rim is not None:
            assert tissue.rim[1] > tissue.plain[1]
        assert tissue.rim is not None or not tissue.hollow
    assert TISSUES["artery"].arterial[0] > TISSUES["vein"].arterial[1]
    assert TISSUES["artery"].arterial > TISSUES["artery"].venous
    for written in ("Left Kidney", "LEFT_KIDNEY", "left kidney"):
        assert tissue_of(written) == "kidney"
