"""A server in this process alone, without Ray: uvicorn and one model thread."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_fastsam3d.errors import ServerError
from napari_fastsam3d.serving.server_settings import ServerSettings

INSTALL = "Install it: pip install 'napari-fastsam3d[serve]'"
# Seconds that requests may take to end when the server leaves.
DRAIN_SECONDS = 30


@dataclass(frozen=True)
class Listening:
    """Where a server listens.

    Parameters
    ----------
    host : str
    port : int
    certificate, key : Path or None
        Of TLS, PEM; plain HTTP without them.
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None

    @property
    def tls(self) -> dict[str, Any]:
        """The files of TLS as uvicorn and Ray Serve name them; empty without."""
        if self.certificate is None or self.key is None:
            return {}
        for file in (self.certificate, self.key):
            if not file.is_file():
                raise ServerError(f"There is no file {file}.", "Give PEM files for TLS.")
        return {"ssl_certfile": str(self.certificate), "ssl_keyfile": str(self.key)}


def serve_here(settings: ServerSettings, listening: Listening) -> None:
    """Serve until SIGINT or SIGTERM; what was asked is answered first."""
    try:
        import uvicorn

        from napari_fastsam3d.serving.app import make_app
        from napari_fastsam3d.serving.server import Server
    except ImportError as error:
        raise ServerError(f"A server needs {error.name}.", INSTALL) from error
    uvicorn.run(
        make_app(Server(settings)),
        host=listening.host,
        port=listening.port,
        # Paths name scans by their hashes: the program has a log of its own, which doesn't.
        access_log=False,
        log_level="warning",
        server_header=False,
        limit_concurrency=1000,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        **listening.tls,
    )
