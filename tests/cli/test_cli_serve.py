"""How a server is started: who may reach it, with what, and what is refused before it listens."""

import getpass
import json
from pathlib import Path

import pytest

from napari_fastsam3d.cli import run
from napari_fastsam3d.serving import cluster, one_process
from napari_fastsam3d.serving.cluster import Replicas
from napari_fastsam3d.serving.one_process import Listening
from napari_fastsam3d.serving.server_settings import ServerSettings
from napari_fastsam3d.serving.tokens import TokenFile
from napari_fastsam3d.session.remote.servers import access_to, known_servers, server_address

Started = list[tuple[ServerSettings, Listening]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """What servers in one process were started with; none of them listens."""
    found: Started = []
    monkeypatch.setattr(one_process, "serve_here", lambda *given: found.append(given))
    return found


def serve(*words: object, code: int = 0) -> None:
    assert run(["serve", "--one-process", *map(str, words)]) == code


def test_what_is_not_said_is_modest(started: Started, tmp_path: Path) -> None:
    serve("--folder", tmp_path)
    ((settings, listening),) = started
    assert listening == Listening("127.0.0.1", 8765, None, None)
    assert (settings.folder, settings.models, settings.device) == (tmp_path, ("default",), "auto")
    assert settings.roots == ()  # no file of the machine can be named


def test_options_come_in_the_units_of_the_settings(
    started: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    limits = ("--max-volume", "0.5", "--max-user", "2", "--rate", "7")
    models = ("--model", "lite", "--model", "mine.safetensors", "--models-kept", "2")
    serve("--folder", "there", "--root", "scans", "--keep-minutes", "3", *limits, *models)
    ((settings, _),) = started
    assert settings.folder == tmp_path / "there"
    assert settings.roots == (tmp_path / "scans",)
    assert settings.models == ("lite", "mine.safetensors")
    assert settings.models_kept == 2
    assert settings.keep_seconds == 180
    assert settings.limits.volume_bytes == 2**29
    assert settings.limits.user_bytes == 2**31
    assert settings.limits.requests_per_second == 7


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--host", "0.0.0.0"), "in the clear"),
        (("--host", "10.1.2.3"), "in the clear"),
        (("--host", "gpu.example.org"), "in the clear"),
        (("--host", "::"), "in the clear"),
        (("--certificate", "here.pem"), "a certificate and its key"),
        (("--key", "here.pem", "--behind-proxy"), "a certificate and its key"),
    ],
)
def test_scans_do_not_cross_a_network_in_the_clear(
    started: Started, tmp_path: Path, capsys: pytest.CaptureFixture[str], words, told: str
) -> None:
    serve("--folder", tmp_path, *words, code=1)
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert started == []
    assert [*tmp_path.iterdir()] == []  # no token is made for a server that does not start


@pytest.mark.parametrize(
    "words",
    [
        *[("--host", host) for host in ("localhost", "127.0.0.5", "::1")],
        ("--host", "0.0.0.0", "--behind-proxy"),
        ("--host", "0.0.0.0", "--certificate", "a.pem", "--key", "b.pem"),
    ],
)
def test_this_machine_alone_and_what_is_encrypted_may_be_served(
    started: Started, tmp_path: Path, words
) -> None:
    serve("--folder", tmp_path, *words)
    assert len(started) == 1


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ((), "http://127.0.0.1:8765"),
        (("--host", "localhost", "--port", "99"), "http://localhost:99"),
        (("--host", "::1"), "http://[::1]:8765"),
        (("--host", "0.0.0.0", "--behind-proxy"), "http://127.0.0.1:8765"),
    ],
)
def test_who_starts_a_server_first_gets_a_token_that_this_machine_keeps(
    started: Started,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words,
    address: str,
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "DOM\\Zoë k.")
    serve("--folder", tmp_path, *words)
    assert server_address(address) == (address, "default")  # as the window would ask for it
    assert known_servers() == [address]
    secret = access_to(address).token
    assert secret in capsys.readouterr().err
    file = TokenFile(tmp_path / "tokens.json")
    assert file.user_of(secret) == "DOM-Zo--k."
    assert secret not in (tmp_path / "tokens.json").read_text()

    serve("--folder", tmp_path, *words)  # the second time there is one
    assert len(file.tokens()) == 1
    assert capsys.readouterr().err == ""


def test_the_certificate_is_kept_with_the_token(started: Started, tmp_path: Path) -> None:
    files = ("--certificate", tmp_path / "a.pem", "--key", tmp_path / "b.pem")
    serve("--folder", tmp_path, "--host", "0.0.0.0", *files)
    assert access_to("https://127.0.0.1:8765").certificate == str(tmp_path / "a.pem")
    ((_, listening),) = started
    assert (listening.certificate, listening.key) == (tmp_path / "a.pem", tmp_path / "b.pem")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), Replicas(1, 1, 1.0, 0.0)),
        (("--replicas", "3", "--cpus", "2"), Replicas(3, 3, 2.0, 0.0)),
        (("--replicas", "1-4", "--gpus", "0.25"), Replicas(1, 4, 1.0, 0.25)),
    ],
)
def test_replicas_are_a_number_or_a_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words, wanted: Replicas
) -> None:
    asked = []
    monkeypatch.setattr(cluster, "serve_on_ray", lambda *given: asked.append(given))
    assert run(["serve", "--folder", str(tmp_path), "--address", "ray://there", *words]) == 0
    ((_, _, replicas, address),) = asked
    assert (replicas, address) == (wanted, "ray://there")


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "2-1", "a", "1-", "1-2-3", "1.5", "0-2", "²", "1-²"]
)
def test_what_is_no_number_of_replicas_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
) -> None:
    monkeypatch.setattr(cluster, "serve_on_ray", lambda *_: pytest.fail("it was started"))
    assert run(["serve", "--folder", str(tmp_path), f"--replicas={text}"]) == 1
    assert capsys.readouterr().err.startswith(f"error: {text!r} is no number of replicas.")
    assert [*tmp_path.iterdir()] == []


def test_tokens_are_listed_without_secrets_and_revoked_by_id_or_user(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*words: str, code: int = 0) -> str:
        assert run(["tokens", *words, "--folder", str(tmp_path)]) == code
        both = capsys.readouterr()
        return both.err if code else both.out

    assert run(["tokens", "add", "ann", "--folder", str(tmp_path)]) == 0
    secret, note = capsys.readouterr()
    assert "not shown again" in note
    secrets = [secret.strip(), *(told("add", name).strip() for name in ("bob", "ann"))]
    rows = json.loads(told("list", "--json"))
    assert [row["user"] for row in rows] == ["ann", "bob", "ann"]
    assert all({*row} == {"id", "user", "made", "revoked"} for row in rows)
    assert told("revoke", rows[0]["id"]) == f"revoked {rows[0]['id']} of ann\n"
    listed = told("list").splitlines()
    assert [line.endswith("revoked") for line in listed] == [True, False, False]
    assert not any(secret in line for secret in secrets for line in listed)
    file = TokenFile(tmp_path / "tokens.json")
    assert [file.user_of(secret) for secret in secrets] == [None, "bob", "ann"]
    told("revoke", "ann")
    assert [file.user_of(secret) for secret in secrets] == [None, "bob", None]
    for words in (("revoke", "nobody"), ("add", "../x")):
        said = told(*words, code=1)
        assert said.startswith("error: ")
        assert said.count("\n") == 1
