"""The doctor's look at what computes: torch, the device, memory and the model's weights."""

import os
import shutil
import sys

from napari_fastsam3d.cli.check import Check

_ENOUGH_MEMORY = 4 << 30
_INSTALL_CUDA = f"{sys.executable} -m pip install --force-reinstall torch==2.13.0"


def torch_build() -> list[Check]:
    """Name torch's version, its threads, and whether the CPU has bfloat16 instructions."""
    import torch

    bf16 = torch.cpu.get_capabilities().get("avx512_bf16", False)
    text = (
        f"{torch.__version__}, {torch.get_num_threads()} CPU threads, "
        f"{'fast' if bf16 else 'no fast'} bfloat16 on the CPU"
    )
    return [Check.ok("torch", text)]


def cuda() -> list[Check]:
    """Name the device that `--device auto` takes; tell of a GPU that this torch cannot use."""
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        return [Check.ok("device", f"{name}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free")]
    if shutil.which("nvidia-smi"):
        problem = "there is an NVIDIA driver, but this torch cannot use it; the CPU is used"
        return [Check.warning("device", problem, _INSTALL_CUDA)]
    return [Check.ok("device", "the CPU (no NVIDIA GPU here, none is needed)")]


def _total_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def memory() -> list[Check]:
    """Say how much main memory there is, where the system tells."""
    total = _total_memory()
    if total is None:
        return [Check.ok("memory", "this system does not tell how much there is")]
    text = f"{total / 2**30:.1f} GiB"
    if total < _ENOUGH_MEMORY:
        remedy = "close other programs, or segment a part of the volume"
        return [Check.warning("memory", f"{text}; large volumes may not fit", remedy)]
    return [Check.ok("memory", text)]


def weights() -> list[Check]:
    """Load the default model, which checks that its weights are whole."""
    from napari_fastsam3d.errors import FastSAM3DError
    from napari_fastsam3d.model import load_model

    try:
        model = load_model("default", device="cpu")
    except FastSAM3DError as error:
        return [Check.fail("default model", error.problem, error.remedy)]
    return [Check.ok("default model", f"{model.name}, fingerprint {model.fingerprint[:12]}")]


def faster_model() -> list[Check]:
    """Offer the lite model where the default one is slow."""
    from napari_fastsam3d.model.registry import faster_here

    advice = faster_here()
    if advice is None:
        return []
    return [Check.ok("faster model", f"{advice} Choose it in the window, or by --model lite.")]
