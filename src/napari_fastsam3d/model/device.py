"""Where and in which precision to compute."""

import torch

from napari_fastsam3d.errors import DeviceError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_device(name: str = "auto") -> torch.device:
    """Give the device of a name; "auto" takes a CUDA GPU where there is one.

    Raises
    ------
    DeviceError
        When the device is unknown or not usable here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(
            f"The device {name!r} cannot be used here.",
            'Choose "cpu", or "auto" to take what there is; `napari-fastsam3d doctor` tells why.',
        ) from error
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Give the precision of matrix products.

    "auto" takes bfloat16 where the hardware multiplies it natively (AVX-512 BF16, AMX, or a GPU of
    the Ampere generation or later), else float32.

    Raises
    ------
    DeviceError
        When the name is neither "auto" nor a known precision.
    """
    if name in PRECISIONS:
        return PRECISIONS[name]
    if name != "auto":
        raise DeviceError(
            f"There is no precision {name!r}.", f"Choose auto, {' or '.join(PRECISIONS)}."
        )
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float32
    return torch.bfloat16 if _cpu_multiplies_bfloat16() else torch.float32


def _cpu_multiplies_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
