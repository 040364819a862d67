"""What an operator decides: where things are kept, which models are offered, and the limits."""

from dataclasses import dataclass, field
from pathlib import Path

GIB = 1 << 30
MIB = 1 << 20


def server_folder() -> Path:
    """Return where a server keeps tokens and volumes unless it is told otherwise."""
    import platformdirs

    return Path(platformdirs.user_data_dir("napari-fastsam3d", appauthor=False)) / "server"


@dataclass(frozen=True)
class Limits:
    """What one user may ask for.

    Parameters
    ----------
    volume_bytes : int
        Size of a volume, not compressed.
    user_bytes, user_volumes : int
        What is kept of one user at a time.
    body_bytes : int
        Size of a request's body.
    body_seconds : float
        How long a client may take to send it.
    requests_per_second, burst : float
        How often a user may ask, on average and at once; each replica counts by itself.
    waiting : int
        Requests of one user that may wait for the model of a replica.
    failed_tokens : int
        Wrong tokens a minute from one address before it is refused without a look.
    prompts : int
        Length of a log.
    """

    volume_bytes: int = 4 * GIB
    user_bytes: int = 16 * GIB
    user_volumes: int = 32
    body_bytes: int = 32 * MIB
    body_seconds: float = 30.0
    requests_per_second: float = 50.0
    burst: float = 200.0
    waiting: int = 8
    failed_tokens: int = 20
    prompts: int = 10_000


@dataclass(frozen=True)
class ServerSettings:
    """How a server is run.

    Parameters
    ----------
    folder : Path
        Where tokens and volumes are kept; replicas on several machines share it.
    models : tuple of str
        Names or files that may be asked for; the first is the default.
    device : str
        Where they compute.
    roots : tuple of Path
        Folders whose scans a client may name instead of sending them.
    keep_seconds : float
        How long a volume is kept after its last use.
    sessions : int
        Sessions that a replica remembers masks and embeddings of; others are made again.
    session_bytes : int
        What it remembers of each.
    models_kept : int
        Models that a replica keeps loaded.
    limits : Limits
    """

    folder: Path = field(default_factory=server_folder)
    models: tuple[str, ...] = ("default",)
    device: str = "auto"
    roots: tuple[Path, ...] = ()
    keep_seconds: float = 3600.0
    sessions: int = 16
    session_bytes: int = 64 * MIB
    models_kept: int = 1
    limits: Limits = field(default_factory=Limits)
