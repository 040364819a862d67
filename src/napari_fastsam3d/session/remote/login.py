"""A token is tried, and kept where the server takes it."""

from dataclasses import dataclass

from napari_fastsam3d.errors import ServerError
from napari_fastsam3d.session.remote.connection import Connection
from napari_fastsam3d.session.remote.servers import ServerAccess, keep_access, server_address


@dataclass(frozen=True)
class LoggedIn:
    """Who one is to a server, and what it offers.

    Parameters
    ----------
    address : str
    user : str
    models : tuple of str
        The first is its default.
    """

    address: str
    user: str
    models: tuple[str, ...]


def log_in(address: str, token: str, certificate: str = "") -> LoggedIn:
    """Try a token at a server, and keep it for this user of this machine.

    Raises
    ------
    ServerError
        If the server can't be reached, is none, or refuses the token; then nothing is kept.
    """
    place, _ = server_address(address)
    access = ServerAccess(place, token.strip(), certificate)
    connection = Connection(access, patience=0.0)
    try:
        known = connection.json("GET", "/v1/server")
        found = LoggedIn(place, str(known["user"]), tuple(map(str, known["models"])))
    except (KeyError, TypeError):
        raise ServerError(
            f"{access.name} is no napari-fastsam3d server.", "Check the address."
        ) from None
    finally:
        connection.close()
    keep_access(access)
    return found
