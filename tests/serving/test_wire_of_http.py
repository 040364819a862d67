"""A server on a real socket: TLS, a drain, clients that are slow or leave in the middle."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
import trustme
from ball_and_slab import BALL, SLAB
from brightness_model import BrightnessModel
from served import Department, listening, question, send

from napari_fastsam3d.errors import ServerError
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.serving.server_settings import Limits
from napari_fastsam3d.session import Session
from napari_fastsam3d.session.remote import servers
from napari_fastsam3d.session.remote.connection import Connection
from napari_fastsam3d.session.remote.login import log_in
from napari_fastsam3d.session.remote.servers import ServerAccess


class Certificates:
    """An authority, and certificates that it gave, as PEM files."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._authority = folder, trustme.CA()
        self.authority = str(folder / "authority.pem")
        self._authority.cert_pem.write_to_path(self.authority)

    def server(self, name: str, **valid: datetime) -> dict[str, str]:
        """Make one for a host; give it as uvicorn takes it."""
        made = self._authority.issue_cert(name, **valid)
        chain, key = (str(self._folder / f"{name}.{each}") for each in ("pem", "key"))
        made.private_key_pem.write_to_path(key)
        for part in made.cert_chain_pems:
            part.write_to_path(chain, append=True)
        return {"ssl_certfile": chain, "ssl_keyfile": key}


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def asked(access: ServerAccess, patience: float = 0.0) -> object:
    """Ask who one is."""
    connection = Connection(access, patience)
    try:
        return connection.json("GET", "/v1/server")["user"]
    finally:
        connection.close()


def test_a_session_over_tls(
    volume: Volume, department: Department, certificates: Certificates
) -> None:
    """With the authority's file; the token is kept by `login`, and used from then on."""
    token = department.token()
    with (
        listening(department.app, **certificates.server("127.0.0.1")) as (port, _),
        Session(volume, BrightnessModel()) as here,
    ):
        address = f"https://127.0.0.1:{port}"
        assert log_in(address, token, certificates.authority).user == "anna"
        kept = servers._path()
        assert kept.stat().st_mode & 0o077 == 0
        with Session(volume, f"{address}#brightness") as there:
            for session in (here, there):
                session.add_point(BALL)
                session.add_point(SLAB, positive=False)
            assert np.array_equal(there.mask(), here.mask())
            assert there.mask().any()


def test_a_wrong_certificate_is_refused_at_once_and_clearly(
    department: Department, certificates: Certificates, tmp_path: Path
) -> None:
    """Without waiting for the patience to end, and before the token is sent."""
    token, seen = department.token(), len(department.requests)
    with listening(department.app, **certificates.server("127.0.0.1")) as (port, _):
        place = f"https://127.0.0.1:{port}"
        with pytest.raises(ServerError, match=r"not trusted: .*--certificate FILE"):
            asked(ServerAccess(place, token), patience=1e9)
        (tmp_path / "other").mkdir()
        other = Certificates(tmp_path / "other")
        with pytest.raises(ServerError, match="not trusted"):
            asked(ServerAccess(place, token, other.authority), patience=1e9)
    with listening(department.app, **certificates.server("gpu.example.org")) as (port, _):
        place = f"https://127.0.0.1:{port}"
        with pytest.raises(ServerError, match=r"not valid for '127\.0\.0\.1'"):
            asked(ServerAccess(place, token, certificates.authority), patience=1e9)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    late = certificates.server("localhost", not_after=yesterday)
    with (
        listening(department.app, **late) as (port, _),
        pytest.raises(ServerError, match=r"not trusted: .*expired.*clock of this machine"),
    ):
        asked(ServerAccess(f"https://localhost:{port}", token, certificates.authority))
    for file in ("absent.pem", certificates.server("x")["ssl_keyfile"]):
        with pytest.raises(ServerError, match="can't be read"):
            asked(ServerAccess(place, token, str(file)), patience=1e9)
    assert len(department.requests) == seen


def test_a_server_without_tls_is_told_apart(department: Department) -> None:
    token = department.token()
    with (
        listening(department.app) as (port, _),
        pytest.raises(ServerError, match="speaks no TLS"),
    ):
        asked(ServerAccess(f"https://127.0.0.1:{port}", token), patience=1e9)


def test_old_tls_is_refused(department: Department, certificates: Certificates) -> None:
    with listening(department.app, **certificates.server("127.0.0.1")) as (port, _):
        context = ssl.create_default_context(cafile=certificates.authority)
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            pytest.raises(ssl.SSLError),
        ):
            context.wrap_socket(plain, server_hostname="127.0.0.1")


STEPS = "/v1/sessions/steps"


def soon(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_server_that_leaves_answers_what_it_was_asked(
    volume: Volume, department: Department
) -> None:
    token = department.token()
    send(department, volume, token)
    headers = {"Authorization": f"Bearer {token}"}
    department.model.may_go_on.clear()
    with (
        ThreadPoolExecutor(1) as pool,
        listening(department.app, timeout_graceful_shutdown=20) as (port, server),
    ):
        place = f"http://127.0.0.1:{port}"
        answer = pool.submit(
            httpx.post, place + STEPS, json=question(volume), headers=headers, timeout=20
        )
        soon(department.model.is_waiting.is_set)
        server.should_exit = True
        soon(lambda: not server.servers[0].is_serving())
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{place}/health")
        department.model.may_go_on.set()

        assert answer.result().status_code == 200
        assert answer.result().json()["step"]["changed"]["bits"]


def test_who_leaves_is_not_worked_for(volume: Volume, department: Department) -> None:
    """A client that hangs up gives the model free for others, before its work is done."""
    token = department.token()
    send(department, volume, token)
    headers = {"Authorization": f"Bearer {token}"}
    department.model.may_go_on.clear()
    with listening(department.app) as (port, _):
        place = f"http://127.0.0.1:{port}"
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                place + STEPS,
                json=question(volume),
                headers=headers,
                timeout=httpx.Timeout(20, read=0.2),
            )
        host = department.host
        other = threading.Thread(
            target=httpx.post,
            args=(place + STEPS,),
            kwargs={"json": question(volume, session="1" * 32), "headers": headers, "timeout": 20},
        )
        other.start()
        soon(lambda: host.waiting == 2)
        department.model.may_go_on.set()
        other.join()

        soon(lambda: host.waiting == 0)
        assert httpx.get(f"{place}/health").status_code == 200


def test_slow_clients_keep_nobody_waiting(tmp_path: Path) -> None:
    """Each of many sends half of a body and no more: others are answered, and those sent away."""
    department = Department(tmp_path, Limits(body_seconds=0.3))
    token = department.token()
    head = f"PUT /v1/volumes/{'0' * 64} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
    head += f"Authorization: Bearer {token}\r\n\r\nhalf"
    with listening(department.app) as (port, _):
        slow = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(20)]
        for each in slow:
            each.sendall(head.encode())
        for _ in range(3):
            assert httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200
        for each in slow:
            each.settimeout(20)
            assert each.recv(100).startswith(b"HTTP/1.1 408")
            each.close()


def test_the_command_serves_over_tls_until_it_is_told_to_leave(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first token is kept for this machine; SIGTERM ends it without a failure."""
    files = certificates.server("127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [sys.executable, "-c", "from napari_fastsam3d.cli import main; main()", "serve"]
    program += ["--one-process", "--port", str(port), "--folder", str(tmp_path / "server")]
    program += ["--certificate", files["ssl_certfile"], "--key", files["ssl_keyfile"]]
    with subprocess.Popen(program, stderr=subprocess.PIPE, env=dict(os.environ)) as process:
        trusting = ssl.create_default_context(cafile=certificates.authority)
        address = f"https://127.0.0.1:{port}"

        def answers() -> bool:
            assert process.poll() is None, process.stderr and process.stderr.read()
            try:
                return httpx.get(f"{address}/health", verify=trusting).status_code == 200
            except httpx.ConnectError:
                return False

        until = time.monotonic() + 120
        while not answers() and time.monotonic() < until:
            time.sleep(0.05)
        kept = servers.access_to(address)
        assert asked(ServerAccess(address, kept.token, certificates.authority))
        process.send_signal(signal.SIGTERM)
        _, written = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGTERM)
    assert kept.token.encode() in written
    assert b"Traceback" not in written
