"""`napari-fastsam3d tokens` and `login`: who may use a server, and with what."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from napari_fastsam3d.serving.tokens import TokenFile

tokens = typer.Typer(
    name="tokens",
    help="Make, list and revoke the tokens of the users of a server.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
FolderOption = Annotated[
    Path | None, typer.Option("--folder", help="Folder of the server; by default your own.")
]


def opened_tokens(folder: Path | None) -> "TokenFile":
    """Return the tokens of a server."""
    from napari_fastsam3d.serving.server_settings import server_folder
    from napari_fastsam3d.serving.tokens import TokenFile

    return TokenFile((folder or server_folder()) / "tokens.json")


@tokens.command()
def add(
    user: Annotated[str, typer.Argument(help="Name of the user.")], folder: FolderOption = None
) -> None:
    """Make a token for a user and print it: it is shown once and kept nowhere."""
    token, secret = opened_tokens(folder).add(user)
    typer.echo(secret)
    typer.echo(f"note: token {token.id} of {user}; it is not shown again", err=True)


@tokens.command("list")
def list_tokens(
    folder: FolderOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """List tokens, without themselves."""
    found = opened_tokens(folder).tokens()
    if as_json:
        rows = [{k: v for k, v in asdict(each).items() if k != "sha256"} for each in found]
        typer.echo(json.dumps(rows, indent=2))
        return
    for each in found:
        typer.echo(f"{each.id}  {each.user}  {each.made}{'  revoked' if each.revoked else ''}")


@tokens.command()
def revoke(
    which: Annotated[
        str, typer.Argument(help="Id of a token, or a user, to revoke all of theirs.")
    ],
    folder: FolderOption = None,
) -> None:
    """Revoke a token; a server that runs refuses it from the next request on."""
    for each in opened_tokens(folder).revoke(which):
        typer.echo(f"revoked {each.id} of {each.user}")


def login(
    address: Annotated[str, typer.Argument(help="Such as https://gpu.example.org:8765.")],
    token: Annotated[
        str, typer.Option(prompt=True, hide_input=True, help="Your token; asked for if not given.")
    ],
    certificate: Annotated[
        Path | None,
        typer.Option(help="The server's certificate, where this machine does not trust it (PEM)."),
    ] = None,
) -> None:
    """Keep your token for a server, after trying it; the window and all commands use it then."""
    from napari_fastsam3d.session.remote.login import log_in

    file = "" if certificate is None else str(certificate.expanduser().absolute())
    found = log_in(address, token, file)
    typer.echo(f"{found.address}: {found.user}, models {', '.join(found.models)}")
