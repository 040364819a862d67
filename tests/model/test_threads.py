import os
from pathlib import Path

import pytest
import torch

from napari_fastsam3d.model import device
from napari_fastsam3d.model.device import allowed_processors, choose_threads


@pytest.mark.parametrize(
    ("quota", "allowed"),
    [
        ("max 100000", 64),
        ("200000 100000", 2),
        ("250000 100000", 3),
        ("50000 100000", 1),
        ("nonsense", 64),
        (None, 64),
    ],
)
def test_a_container_s_share_of_time_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str | None, allowed: int
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    path = tmp_path / "cpu.max"
    if quota is not None:
        path.write_text(quota)

    assert allowed_processors(path) == allowed


def test_a_bound_process_counts_what_it_is_bound_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)

    assert allowed_processors(tmp_path / "nothing") == 1


@pytest.mark.parametrize(("allowed", "expected"), [(1, 1), (64, 2)])
def test_threads_are_lowered_and_never_raised(
    monkeypatch: pytest.MonkeyPatch, allowed: int, expected: int
):
    before = torch.get_num_threads()
    monkeypatch.setattr(device, "allowed_processors", lambda: allowed)
    try:
        torch.set_num_threads(2)
        assert choose_threads() == expected
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
