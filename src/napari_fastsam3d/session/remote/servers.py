"""Servers that the user has tokens for, kept in the user's own settings folder."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from napari_fastsam3d.errors import ServerError
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.geometry.io.json_text import parse_json
from napari_fastsam3d.model.checked_table import checked

TOKEN_VARIABLE = "NAPARI_FASTSAM3D_TOKEN"
"""Environment variable whose token goes before the one that is kept."""


@dataclass(frozen=True)
class ServerAccess:
    """Where a server is, and how to be let in.

    Parameters
    ----------
    address : str
        As `server_address` gives it.
    token : str
        Empty where none is known.
    certificate : str
        File of the certificate, or of the authority, that it is known by; empty for those that
        this machine trusts.
    """

    address: str
    token: str = ""
    certificate: str = ""

    @property
    def name(self) -> str:
        """Host and port."""
        return urlsplit(self.address).netloc


def is_server(model: object) -> bool:
    """Whether what names a model is the address of a server."""
    return isinstance(model, str) and model.lower().startswith(("http://", "https://"))


def server_address(text: str) -> tuple[str, str]:
    """Take the address of a server apart.

    Parameters
    ----------
    text : str
        Such as "https://gpu.example.org:8765", with "#NAME" for a model that isn't the default.

    Returns
    -------
    address, model : str

    Raises
    ------
    ServerError
        If it is none, or a token would cross a network in the clear.
    """
    remedy = "Give one such as https://gpu.example.org:8765, or http://127.0.0.1:8765."
    try:
        parts = urlsplit(text.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host or parts.scheme not in ("http", "https") or parts.query or parts.username:
        raise ServerError(f"{text!r} is no address of a server.", remedy)
    if parts.scheme == "http" and not is_loopback(host):
        raise ServerError(
            f"{host} would get the scan and your token over a network in the clear.",
            "Use https, or a tunnel to http://127.0.0.1.",
        )
    path = parts.path.rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path, "", "")), parts.fragment or "default"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host.lower() == "localhost"


def access_to(address: str) -> ServerAccess:
    """Return how the user is let in to a server."""
    known = _read().get(address, ServerAccess(address))
    return ServerAccess(address, os.environ.get(TOKEN_VARIABLE) or known.token, known.certificate)


def keep_access(access: ServerAccess) -> None:
    """Keep a token, for its owner alone to read."""
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    servers = {**_read(), access.address: access}
    with replacing(path, ".json") as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump([asdict(each) for each in servers.values()], file, indent=1)


def known_servers() -> list[str]:
    """Return the addresses of the servers that the user has tokens for."""
    return list(_read())


def _path() -> Path:
    import platformdirs

    return Path(platformdirs.user_config_dir("napari-fastsam3d", appauthor=False)) / "servers.json"


def _read() -> dict[str, ServerAccess]:
    try:
        kept = parse_json(_path().read_text("utf-8"))
        found = [ServerAccess(**checked(ServerAccess, each)) for each in kept]
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return {each.address: each for each in found}
