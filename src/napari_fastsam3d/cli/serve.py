"""`napari-fastsam3d serve`: one machine's model for the windows of many."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_fastsam3d.cli.tokens import FolderOption, opened_tokens
from napari_fastsam3d.errors import ServerError

if TYPE_CHECKING:
    from napari_fastsam3d.serving.one_process import Listening
    from napari_fastsam3d.serving.server_settings import ServerSettings

_GIB = 1 << 30

HostOption = Annotated[
    str, typer.Option(help="Where to listen: this machine alone, or 0.0.0.0 for a network.")
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option("--model", help="A model's name or file; may be repeated, the first leads."),
]
RootOption = Annotated[
    list[Path] | None,
    typer.Option("--root", help="A folder whose scans may be named instead of sent."),
]
CertificateOption = Annotated[
    Path | None, typer.Option(help="TLS certificate with its chain (PEM).")
]
BehindProxyOption = Annotated[
    bool, typer.Option("--behind-proxy", help="TLS ends at a proxy before this server.")
]
KeepMinutesOption = Annotated[float, typer.Option(min=1, help="How long an unused volume is kept.")]
OneProcessOption = Annotated[
    bool, typer.Option("--one-process", help="Without Ray: one process, one model thread.")
]
AddressOption = Annotated[
    str | None, typer.Option(help="A Ray cluster that runs; by default one is started here.")
]
ReplicasOption = Annotated[
    str, typer.Option(help="How many processes serve: a number, or MIN-MAX by load.")
]


def serve(
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8765,
    model: ModelOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    folder: FolderOption = None,
    root: RootOption = None,
    certificate: CertificateOption = None,
    key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    behind_proxy: BehindProxyOption = False,
    keep_minutes: KeepMinutesOption = 60.0,
    max_volume: Annotated[float, typer.Option(min=0.001, help="Largest volume, GiB.")] = 4.0,
    max_user: Annotated[float, typer.Option(min=0.001, help="Kept of one user, GiB.")] = 16.0,
    rate: Annotated[float, typer.Option(min=1, help="Requests a second of one user.")] = 50.0,
    one_process: OneProcessOption = False,
    address: AddressOption = None,
    replicas: ReplicasOption = "1",
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of a replica, such as 0.25.")] = 0.0,
    cpus: Annotated[float, typer.Option(min=0, help="CPUs of a replica.")] = 1.0,
    models_kept: Annotated[int, typer.Option(min=1, help="Models a replica keeps loaded.")] = 1,
) -> None:
    """Serve a model to napari windows, scripts and commands of other machines.

    It runs on Ray Serve until Ctrl-C, then answers what it was asked, and ends. The first time it
    makes a token for you and keeps it for this machine. See `tokens` for other users.
    """
    from napari_fastsam3d.serving.cluster import Replicas, serve_on_ray
    from napari_fastsam3d.serving.one_process import Listening, serve_here
    from napari_fastsam3d.serving.server_settings import Limits, ServerSettings, server_folder

    _check_transport(host, certificate, key, behind_proxy)
    limits = Limits(
        volume_bytes=int(max_volume * _GIB),
        user_bytes=int(max_user * _GIB),
        requests_per_second=rate,
        burst=4 * rate,
    )
    settings = ServerSettings(
        (folder or server_folder()).expanduser().absolute(),
        tuple(model or ("default",)),
        device,
        tuple(each.expanduser().absolute() for each in root or ()),
        60.0 * keep_minutes,
        models_kept=models_kept,
        limits=limits,
    )
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    listening = Listening(host, port, certificate, key)
    shares = None if one_process else Replicas.parse(replicas, cpus, gpus)
    _first_token(settings, listening)
    if shares is None:
        serve_here(settings, listening)
    else:
        serve_on_ray(settings, listening, shares, address)


def _check_transport(
    host: str, certificate: Path | None, key: Path | None, behind_proxy: bool
) -> None:
    """Raise ServerError where scans and tokens would cross a network in the clear."""
    from napari_fastsam3d.session.remote.servers import is_loopback

    if (certificate is None) != (key is None):
        raise ServerError("TLS needs a certificate and its key.", "Give --certificate and --key.")
    if not (is_loopback(host) or certificate or behind_proxy):
        raise ServerError(
            "Scans and tokens would cross the network in the clear.",
            "Give --certificate and --key, or --behind-proxy where TLS ends before the server.",
        )


def _first_token(settings: "ServerSettings", listening: "Listening") -> None:
    """Make a token for whoever starts the server first, and keep it for this machine."""
    import getpass
    import re

    from napari_fastsam3d.session.remote.servers import ServerAccess, is_loopback, keep_access

    file = opened_tokens(settings.folder)
    if file.tokens():
        return
    user = re.sub(r"[^A-Za-z0-9._-]", "-", getpass.getuser()).lstrip("._-")[:64] or "operator"
    _, secret = file.add(user)
    certificate = listening.certificate
    name = listening.host if is_loopback(listening.host) else "127.0.0.1"
    scheme, shown = "https" if certificate else "http", f"[{name}]" if ":" in name else name
    place = f"{scheme}://{shown}:{listening.port}"
    keep_access(ServerAccess(place, secret, str(certificate.absolute()) if certificate else ""))
    typer.echo(f"token of {user}, kept for {place} on this machine: {secret}", err=True)
