import gc
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says nothing about the code on a machine that others use too.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# As the model thread does it, before torch is imported: threads that wait for each other by
# counting make the tests many times slower where the processors are shared.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Mesa keeps compiled shaders where caches are kept, which is another folder for each test. Where
# it draws by software, most of the time that a window takes is compiling them.
_shaders = Path(__file__).resolve().parents[1] / "build" / "shaders"
with suppress(OSError):  # a checkout that is read only goes without
    _shaders.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("MESA_SHADER_CACHE_DIR", str(_shaders))


@pytest.hookimpl(optionalhook=True)
def pytest_xvfb_disable() -> bool:
    """An X server of its own is for a process that is to open windows and has no screen."""
    return os.environ.get("QT_QPA_PLATFORM") != "xcb" or "DISPLAY" in os.environ


def pytest_collection_finish() -> None:
    """Leave out of every later garbage collection what lives as long as the tests do.

    napari's viewers are freed by full collections, two for each test with one. Those would go
    through every module and every collected test each time, which costs more than the tests.
    """
    gc.collect()
    gc.freeze()


SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real labelled volumes and golden outputs beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the folder of shared volumes is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders that don't exist yet, another each time."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in count())


@pytest.fixture(autouse=True)
def private_folders(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch):
    """Keep every cache, setting and journal of a test out of the user's own folders."""
    home = next(homes)
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, os.fspath(home / name.lower()))


@pytest.fixture(scope="session")
def tiny_predictor():
    """A real predictor with a very small network and random weights, float32 on the CPU."""
    import torch

    from napari_fastsam3d.model.default.image_encoder import PyramidConfig
    from napari_fastsam3d.model.default.network import PyramidNetwork
    from napari_fastsam3d.model.default.predictor import PyramidPredictor

    torch.manual_seed(0)
    config = PyramidConfig(
        widths=(4, 8, 8),
        blocks=(1, 1, 1),
        width=16,
        depth=1,
        heads=2,
        decoder_widths=(4, 8, 8),
        affinity_heads=(1, 2),
        affinity_width=4,
    )
    return PyramidPredictor(
        PyramidNetwork(config), "tiny", torch.device("cpu"), torch.float32, "0" * 64
    )


@pytest.fixture(scope="session")
def turbo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAM-Med3D of the smallest size, in a file as its authors write them."""
    import torch

    from napari_fastsam3d.model.sam_med3d.checkpoint_keys import published_tensors
    from napari_fastsam3d.model.sam_med3d.image_encoder import ViTConfig
    from napari_fastsam3d.model.sam_med3d.mask_decoder import DecoderConfig
    from napari_fastsam3d.model.sam_med3d.network import PublishedConfig, PublishedNetwork

    torch.manual_seed(0)
    encoder = ViTConfig(("padded",), width=32, heads=4, hidden=32, out_width=48)
    network = PublishedNetwork(PublishedConfig(encoder, DecoderConfig(48, hidden=32)))
    path = tmp_path_factory.mktemp("web") / "turbo.pth"
    torch.save({"model_state_dict": published_tensors(network), "epoch": 1}, path)
    return path
