"""From the command to the model a click crosses six files, as docs/developing.md names them."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from brightness_model import BrightnessModel

import napari_fastsam3d
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import ModelThread, Session

PACKAGE = Path(napari_fastsam3d.__file__).parent
WAY = [
    "session/commands.py",
    "session/scheduler.py",
    "session/model_runner.py",
    "inference/segmenter.py",
    "inference/coarse_to_fine.py",
    "inference/forward_pass.py",
]
THREAD = "session/worker.py"
WAITING_FORM = "session/session.py"


def files_on_the_stack() -> list[str]:
    """The files of the package whose functions are being called, the caller first."""

    def frames(frame: FrameType | None) -> Iterator[Path]:
        while frame is not None:
            yield Path(frame.f_code.co_filename)
            frame = frame.f_back

    own = [f.relative_to(PACKAGE) for f in frames(sys._getframe(1)) if f.is_relative_to(PACKAGE)]
    return list(dict.fromkeys(each.as_posix() for each in reversed(own)))


def test_a_click_crosses_six_files_on_its_way_to_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    above: list[list[str]] = []
    below: list[list[str]] = []
    submit, segment = ModelThread.submit, BrightnessModel.segment

    def submitted(thread, *args, **kwargs):
        above.append(files_on_the_stack())
        return submit(thread, *args, **kwargs)

    def segmented(model, *args, **kwargs):
        below.append(files_on_the_stack())
        return segment(model, *args, **kwargs)

    monkeypatch.setattr(ModelThread, "submit", submitted)
    monkeypatch.setattr(BrightnessModel, "segment", segmented)
    voxels = np.zeros((12, 12, 12), dtype=np.int16)
    with Session(Volume.from_array(voxels), BrightnessModel(size=8)) as session:
        session.add_point((6, 6, 6))
    assert above[0] == [WAITING_FORM, *WAY[:2]]
    assert below[0] == [THREAD, *WAY[1:]]
