"""The one family of errors; each says what is wrong and what to do about it."""


class FastSAM3DError(Exception):
    """Something the user can fix.

    Parameters
    ----------
    problem : str
        What is wrong, as one sentence with its full stop.
    remedy : str
        What to do about it, as one sentence with its full stop.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}"


class VolumeError(FastSAM3DError):
    """A file or array that is not a usable volume."""


class PromptError(FastSAM3DError):
    """A point or box that cannot be a prompt, such as a click outside the volume."""


class SessionError(FastSAM3DError):
    """A session command that makes no sense in the present state."""


class JournalError(FastSAM3DError):
    """A journal that can't be read or written."""


class JournalBusyError(JournalError):
    """A journal that another session keeps."""


class SaveError(FastSAM3DError):
    """A mask that could not be written."""


class CheckpointError(FastSAM3DError):
    """Weights that are missing, damaged, or belong to another architecture."""


class DeviceError(FastSAM3DError):
    """A device that is absent or ran out of memory."""


class TrainingError(FastSAM3DError):
    """A training run that cannot start or go on."""


class DataError(FastSAM3DError):
    """A folder of labelled scans that is incomplete or cannot be read."""


class EvaluationError(FastSAM3DError):
    """An evaluation that cannot start or go on."""


class MemoryBankError(FastSAM3DError):
    """A bank of remembered cases that can't be read or written, or a case that it doesn't hold."""


class AdapterError(FastSAM3DError):
    """An adapter that isn't there, fits another model, or can't be fitted."""


class ServerError(FastSAM3DError):
    """A server that can't be reached, or refuses what it is asked."""


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
