"""A failure of the model, in words."""

from napari_fastsam3d.errors import DeviceError, FastSAM3DError, SessionError


def card_is_full(error: BaseException) -> bool:
    """Whether a graphics card had too little memory; torch's own error is known by its name."""
    return type(error).__name__ == "OutOfMemoryError"


def explained(error: Exception, remedy: str) -> FastSAM3DError:
    """Return a failure of the model as an error of the one family.

    Parameters
    ----------
    error : Exception
    remedy : str
        What to do about it, a clause that can be gone on with.
    """
    if isinstance(error, FastSAM3DError):
        return error
    if card_is_full(error):
        return DeviceError(
            "The model ran out of memory.", f"{remedy} with other programs closed, or on the CPU."
        )
    if isinstance(error, MemoryError):
        return DeviceError(
            "This machine ran out of memory.", f"{remedy} with other programs closed."
        )
    what = f"{type(error).__name__}: {error}".strip(": ").splitlines()[0]
    return SessionError(
        f"The model failed ({what}).", f"{remedy}, or choose another model or device."
    )
