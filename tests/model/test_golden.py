"""The published networks against what the authors' own code put out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_fastsam3d.model import load_model
from napari_fastsam3d.model.sam_med3d.predictor import PublishedPredictor

ARCHITECTURES = ("fastsam3d", "fastsam3d-sparse", "sam-med3d")
# The sparse one computes in half precision inside, where no two machines agree to the last bit.
TOLERANCE = {"fastsam3d": 1e-5, "fastsam3d-sparse": 1e-3, "sam-med3d": 1e-5}
FAST_TOLERANCE = 2e-2


def difference(ours: Tensor, theirs: NDArray[np.float32]) -> float:
    """The relative error, by the norm and by the largest element, whichever is worse."""
    expected = torch.from_numpy(theirs).double()
    error = ours.double() - expected
    by_norm = error.norm() / expected.norm()
    return float(torch.maximum(by_norm, error.abs().max() / expected.abs().max()))


@pytest.fixture(scope="module")
def image() -> Tensor:
    noise = np.random.default_rng(7).standard_normal((1, 1, 128, 128, 128), dtype=np.float32)
    return torch.from_numpy(noise)


def loaded(folder: Path, architecture: str, dtype: str) -> PublishedPredictor:
    named = architecture if architecture.endswith("sparse") else None
    path = folder / architecture / "checkpoint.pth"
    model = load_model(path, device="cpu", dtype=dtype, architecture=named)
    assert isinstance(model, PublishedPredictor)
    return model


class Case:
    """One architecture in one precision, its encoded image, and what is expected of it."""

    def __init__(self, shared: Path, architecture: str, dtype: str, image: Tensor) -> None:
        self.model = loaded(shared / "golden", architecture, dtype)
        self.encoded = self.model.encode(image)
        self.expected: dict[str, NDArray[np.float32]] = dict(
            np.load(shared / "golden" / architecture / "expected.npz")
        )
        self.tolerance = TOLERANCE[architecture] if dtype == "float32" else FAST_TOLERANCE

    def close(self, ours: Tensor, name: str) -> None:
        __tracebackhide__ = True
        assert difference(ours, self.expected[name]) < self.tolerance, name

    def prompts(self, mode: str, step: int) -> tuple[Tensor, Tensor]:
        given = slice(step, step + 1) if mode == "single" else slice(0, step + 1)
        points = torch.from_numpy(self.expected["clicks"])[None, given]
        return points, torch.from_numpy(self.expected["labels"])[None, given]


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", params=ARCHITECTURES)
def case(
    request: pytest.FixtureRequest,
    shared: Path,
    dtype: str,
    image: Tensor,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        return Case(shared, request.param, dtype, image)


def test_the_embedding(case: Case):
    case.close(case.encoded.embedding, "embedding")


@pytest.mark.parametrize("mode", ["single", "cumulative"])
def test_three_clicks(case: Case, mode: str):
    previous = None
    for step in range(3):
        points, labels = case.prompts(mode, step)
        previous, predicted_iou = case.model.decode(case.encoded, points, labels, previous)
        case.close(previous, f"{mode}_logits_{step}")
        case.close(predicted_iou, f"{mode}_iou_{step}")


def test_three_guesses_at_once(case: Case):
    points, labels = case.prompts("single", 0)

    masks, predicted_iou = case.model.decode(case.encoded, points, labels, multimask=True)

    assert masks.shape == (1, 3, 32, 32, 32)
    case.close(masks, "single_multimask_0")
    case.close(predicted_iou, "single_multimask_iou_0")


def test_no_point_at_all(case: Case):
    nothing = torch.zeros(1, 0, 3), torch.zeros(1, 0, dtype=torch.long)

    logits, _ = case.model.decode(case.encoded, *nothing)

    case.close(logits, "no_points_logits")


def test_an_embedding_kept_by_the_caller_decodes_alike(case: Case):
    points, labels = case.prompts("single", 0)

    logits, _ = case.model.decode(case.encoded.embedding, points, labels)

    case.close(logits, "single_logits_0")


def test_the_dense_form_of_sparse_weights_is_another_network(shared: Path, image: Tensor):
    model = load_model(shared / "golden/fastsam3d-sparse/checkpoint.pth", "cpu", "float32")
    expected = np.load(shared / "golden/fastsam3d-sparse/expected.npz")

    assert difference(model.encode(image).embedding, expected["embedding"]) > 0.01


def test_an_encoder_alone_with_the_rest_of_another_file(shared: Path, image: Tensor):
    folder = shared / "golden" / "fastsam3d"
    alone = folder / "encoder_only.pth"
    expected = np.load(folder / "expected.npz")

    model = load_model(alone, "cpu", "float32", rest=folder / "checkpoint.pth")
    encoded = model.encode(image)
    points, labels = torch.from_numpy(expected["clicks"])[None, :1], torch.ones(1, 1)
    logits, _ = model.decode(encoded, points, labels)

    assert difference(encoded.embedding, expected["embedding"]) < 1e-5
    assert difference(logits, expected["single_logits_0"]) < 1e-5
    assert isinstance(model, PublishedPredictor)
    assert [origin.file for origin in model.provenance] == [
        "encoder_only.pth",
        "checkpoint.pth",
        "checkpoint.pth",
    ]
