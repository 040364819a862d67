"""What is known here of a model on a server."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RemoteModel:
    """What is known here of a model on a server.

    Parameters
    ----------
    name, fingerprint : str
        As of a model of this machine: masks of one fingerprint are alike wherever they were made.
    device : str
        Host and port of the server.
    roots : tuple of str
        Folders whose scans the server can read by itself.
    """

    name: str
    fingerprint: str
    device: str
    roots: tuple[str, ...] = ()
