"""A request that is refused: a status for HTTP, and a sentence with its remedy for people."""

from napari_fastsam3d.errors import FastSAM3DError


class Refusal(FastSAM3DError):  # noqa: N818 - it is no error of the server
    """Why a request is refused.

    Parameters
    ----------
    status : int
        Of HTTP.
    kind : str
        For programs; never changes.
    problem, remedy : str
    retry_after : float, optional
        Seconds after which it may be asked again.
    """

    def __init__(
        self, status: int, kind: str, problem: str, remedy: str, retry_after: float | None = None
    ) -> None:
        super().__init__(problem, remedy)
        self.status = status
        self.kind = kind
        self.retry_after = retry_after
