"""Adapters: put beside a model that stays as it is, in files and versions of their own."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from small_pyramid import ball_scan, small_pyramid

from napari_fastsam3d.errors import AdapterError, FastSAM3DError
from napari_fastsam3d.model.adaptation import KINDS, AdaptedNetwork, AdapterConfig, Kind
from napari_fastsam3d.model.adapter import Adapter, Gain
from napari_fastsam3d.model.adapter_store import AdapterStore
from napari_fastsam3d.model.base_predictor import BasePredictor
from napari_fastsam3d.model.default.image_encoder import PyramidConfig
from napari_fastsam3d.model.default.network import PyramidNetwork
from napari_fastsam3d.model.default.predictor import PyramidPredictor
from napari_fastsam3d.model.sam_med3d.network import PublishedNetwork
from napari_fastsam3d.model.sam_med3d.predictor import PublishedPredictor
from napari_fastsam3d.training.adaptation.cases import TeachingCase
from napari_fastsam3d.training.adaptation.outcome import TeachingOptions
from napari_fastsam3d.training.adaptation.teaching import Teaching

CPU = torch.device("cpu")
PLACES = np.array([[12, 14, 10], [25, 14, 10]], np.float32)
LABELS = np.array([1, 0])
GAIN = Gain((0, 1, 3), (None, 0.5, 0.6), (0.7, 0.8, 0.85), cases=6, folds=3)


@pytest.fixture(scope="module")
def predictors(small_network: Callable[..., PublishedNetwork]) -> dict[str, BasePredictor]:
    def published(dtype: torch.dtype) -> PublishedPredictor:
        return PublishedPredictor(small_network(), "small", CPU, dtype, "def")

    return {
        "default": small_pyramid(),
        "default in bfloat16": small_pyramid(torch.bfloat16),
        "published": published(torch.float32),
        "published in bfloat16": published(torch.bfloat16),
    }


@pytest.fixture(scope="module")
def crop() -> torch.Tensor:
    return torch.randn(1, 1, 128, 128, 128, generator=torch.Generator().manual_seed(0))


def part(predictor: BasePredictor, crop: torch.Tensor) -> torch.Tensor:
    return crop[(..., *3 * [slice(predictor.crop_size)])]


def answer(predictor: BasePredictor, crop: torch.Tensor) -> list[np.ndarray]:
    encoded = predictor.encode(part(predictor, crop))
    found = predictor.segment(encoded, PLACES, LABELS, None, None)
    return [found.mask_logits, found.low_res_logits, np.array(found.predicted_iou)]


def made(predictor: BasePredictor, config: AdapterConfig, spoilt: float = 0.0) -> Adapter:
    adapted = AdaptedNetwork(predictor, config)
    for number, parameter in enumerate(adapted.parameters.values()):
        torch.manual_seed(number)
        parameter.data += spoilt * torch.randn_like(parameter)
    return Adapter.of(
        adapted,
        structure="Left parotid",
        config=config,
        model=predictor.fingerprint,
        model_name=predictor.name,
        spacing=0.75,
        cases=6,
        gain=GAIN,
    )


@pytest.mark.parametrize("name", ["default", "default in bfloat16", "published"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_untrained_adapter_changes_no_bit_and_a_trained_one_is_taken_off_again(
    name: str, kind: Kind, predictors: dict[str, BasePredictor], crop: torch.Tensor
):
    predictor = predictors[name]
    config = AdapterConfig(kind, encoder=True)
    before = answer(predictor, crop)

    untrained = answer(made(predictor, config).fitted_to(predictor), crop)
    trained = answer(made(predictor, config, spoilt=0.3).fitted_to(predictor), crop)
    after = answer(predictor, crop)

    for plain, same, again in zip(before, untrained, after, strict=True):
        np.testing.assert_array_equal(plain, same)
        np.testing.assert_array_equal(plain, again)
    assert np.abs(before[0] - trained[0]).max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_it_lies_in_the_decoder_unless_the_encoder_is_asked_for(
    kind: Kind, predictors: dict[str, BasePredictor]
):
    predictor = predictors["default"]

    beside = made(predictor, AdapterConfig(kind))
    inside = made(predictor, AdapterConfig(kind, encoder=True))

    assert not beside.adapts_encoder
    assert inside.adapts_encoder
    same, other = beside.fitted_to(predictor), inside.fitted_to(predictor)
    assert same.encoder_fingerprint == predictor.encoder_fingerprint
    assert other.encoder_fingerprint != predictor.encoder_fingerprint


def test_whoever_stops_the_model_stops_it_adapted_too(
    predictors: dict[str, BasePredictor], crop: torch.Tensor
):
    predictor = predictors["default"]
    adapted = made(predictor, AdapterConfig("norm")).fitted_to(predictor)

    def stop() -> None:
        raise KeyboardInterrupt

    predictor.before_block = stop
    try:
        with pytest.raises(KeyboardInterrupt):
            adapted.encode(part(adapted, crop))
    finally:
        predictor.before_block = lambda: None


def test_a_file_holds_it_and_what_is_known_of_it(
    tmp_path: Path, predictors: dict[str, BasePredictor], crop: torch.Tensor
):
    predictor = predictors["default in bfloat16"]
    config = AdapterConfig("bottleneck", hidden=4, encoder=True)
    adapter = made(predictor, config, spoilt=0.1)
    path = tmp_path / "one.safetensors"

    adapter.save(path)
    read = Adapter.read(path)

    assert {**vars(read), "tensors": None} == {**vars(adapter), "tensors": None}
    assert read.identity == adapter.identity
    for one, other in zip(
        answer(read.fitted_to(predictor), crop),
        answer(adapter.fitted_to(predictor), crop),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_one_of_another_model_or_shape_is_refused(predictors: dict[str, BasePredictor]):
    adapter = made(predictors["default"], AdapterConfig("lora"))

    with pytest.raises(AdapterError, match=r"fitted to small, whose weights .* Choose that model"):
        adapter.fitted_to(predictors["published"])
    adapter.tensors.popitem()
    with pytest.raises(AdapterError, match="is missing"):
        adapter.fitted_to(predictors["default"])


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_file_is_one_error(tmp_path: Path, content: bytes):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)

    with pytest.raises(FastSAM3DError):
        Adapter.read(path)


def test_versions_are_kept_gone_back_to_and_removed(
    tmp_path: Path, predictors: dict[str, BasePredictor]
):
    store = AdapterStore(tmp_path / "adapters")
    first, second = (
        store.add(made(predictors["default"], AdapterConfig("norm"), spoilt=s)) for s in (0.1, 0.2)
    )

    assert (first.version, second.version) == (1, 2)
    assert store.structures() == ("Left parotid",)
    assert store.get("left  PAROTID").identity == second.identity
    assert store.use("Left parotid", 1).identity == first.identity
    assert AdapterStore(store.path).get("Left parotid").version == 1
    assert [each.version for each in store.versions("Left parotid")] == [1, 2]
    found = store.by_identity(second.identity)
    assert found is not None
    assert found.version == 2

    store.use("Left parotid", 0)
    assert not store.has("Left parotid")
    assert store.structures() == ()
    with pytest.raises(AdapterError, match="no adapter for Left parotid"):
        store.get("Left parotid")

    store.use("Left parotid", 1)
    store.remove("Left parotid", 1)
    assert store.get("Left parotid").version == 2
    store.remove("Left parotid")
    assert store.versions("Left parotid") == ()
    with pytest.raises(AdapterError):
        store.remove("Left parotid")


def test_names_of_any_script_have_folders_of_their_own(
    tmp_path: Path, predictors: dict[str, BasePredictor]
):
    store = AdapterStore(tmp_path)
    adapter = made(predictors["default"], AdapterConfig("norm"))
    for name in ("Leber", "肝", "лівер", "../liver"):
        store.add(replace(adapter, structure=name))

    assert set(store.structures()) == {"Leber", "肝", "лівер", "../liver"}
    assert all(path.parent == tmp_path for path in tmp_path.iterdir())
    assert len([*tmp_path.iterdir()]) == 4


def test_the_default_models_adapters_take_under_a_megabyte(tmp_path: Path):
    config = PyramidConfig(box_decoder=True, candidates=3, coarse_candidates=3)
    predictor = PyramidPredictor(PyramidNetwork(config), "default", CPU, torch.float32, "abc")
    for kind in KINDS:
        for encoder in (False, True):
            path = tmp_path / "one.safetensors"
            made(predictor, AdapterConfig(kind, encoder=encoder)).save(path)
            assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize("kind", KINDS)
def test_a_published_model_learns(kind: Kind, predictors: dict[str, BasePredictor]):
    cases = [TeachingCase(str(n), str(n), partial(ball_scan, n), None) for n in range(3)]
    options = TeachingOptions(AdapterConfig(kind), steps=1, folds=0)

    adapter = Teaching("ball", cases, predictors["published"], options).run().adapter

    assert sum(bool(value.any()) for value in adapter.tensors.values()) > 4
    assert adapter.adapts_encoder == (kind != "norm")
