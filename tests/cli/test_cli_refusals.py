"""Options that exclude each other and what the doctor says of a machine: each in one line."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import napari_fastsam3d.model
from napari_fastsam3d.cli import compute, run
from napari_fastsam3d.cli.check import Check
from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.model import registry


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--adapted", "always"), "--adapted is one of off, clicks, automatic."),
        (("--adapted", "clicks", "--shift", "2"), "without --shift and --slice-wise"),
        (("--adapted", "clicks", "--slice-wise"), "without --shift and --slice-wise"),
        (("--adapted", "automatic", "--model", "region-growing"), "--adapted is for a model"),
        (("--slice-wise", "--shift", "3"), "give it without --slice-wise"),
        (("--model", "random-walker", "--shift", "1"), "a baseline sees all"),
        (("--model", "region-growing", "--slice-wise"), "a baseline has no slices"),
    ],
)
def test_ways_to_evaluate_that_exclude_each_other_are_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words, told: str
) -> None:
    home = tmp_path / "labelled" / "a"
    home.mkdir(parents=True)
    for kind in ("img", "seg"):
        (home / f"1_{kind}.nii.gz").write_bytes(b"")
    (tmp_path / "split.json").write_text(json.dumps({"validation": {"a": ["1"]}}))
    out = tmp_path / "out"
    assert run(["evaluate", str(tmp_path), "--out", str(out), *words]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ")
    assert told.rstrip(".") in said
    assert not [*out.glob("*.csv")]


def test_the_device_that_auto_takes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (30 << 30, 80 << 30))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H200")
    assert compute.cuda() == [Check.ok("device", "H200, 30 of 80 GiB free")]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(compute.shutil, "which", lambda _name: None)
    (found,) = compute.cuda()
    assert "the CPU" in found.text


@pytest.mark.parametrize("fast", [True, False])
def test_the_build_of_torch_says_whether_bfloat16_is_fast(
    monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": fast})
    (found,) = compute.torch_build()
    assert found.text.startswith(f"{torch.__version__}, {torch.get_num_threads()} CPU threads")
    assert ("no fast" in found.text) is not fast


@pytest.mark.parametrize("error", [AttributeError, OSError, ValueError])
def test_a_system_that_does_not_tell_its_memory_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(_name: str) -> int:
        raise error

    monkeypatch.setattr(compute.os, "sysconf", fail)
    (found,) = compute.memory()
    assert found == Check.ok("memory", "this system does not tell how much there is")


def test_weights_that_are_damaged_fail_with_their_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CheckpointError("The weights are torn.", "Install the package again.")

    monkeypatch.setattr(napari_fastsam3d.model, "load_model", fail)
    (found,) = compute.weights()
    assert found == Check.fail(
        "default model", "The weights are torn.", "Install the package again."
    )
    monkeypatch.setattr(
        napari_fastsam3d.model,
        "load_model",
        lambda *_, **__: SimpleNamespace(name="default", fingerprint="0123456789abcdef"),
    )
    (found,) = compute.weights()
    assert found == Check.ok("default model", "default, fingerprint 0123456789ab")


def test_a_faster_model_is_offered_only_where_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "faster_here", lambda: None)
    assert compute.faster_model() == []
    monkeypatch.setattr(registry, "faster_here", lambda: "lite takes half the time here.")
    (found,) = compute.faster_model()
    assert found.text.startswith("lite takes half the time here. ")
    assert "--model lite" in found.text
