"""Downloads from a real server on loopback: whole, broken, resumed, wrong, refused, stopped."""

import hashlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.model import MODELS, fetch_model, load_model
from napari_fastsam3d.model.download import DownloadCancelledError, download, file_name, look
from napari_fastsam3d.model.store import ModelStore

CONTENT = os.urandom(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Behaviour:
    """What the server does, and what it saw."""

    content: bytes = CONTENT
    tag: str | None = '"one"'
    break_after: list[int] = field(default_factory=list)  # bytes sent before each break
    silent_after: int | None = None
    status: int = 200
    ranges: bool = True
    tells_length: bool = True
    asked: list[str | None] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behaviour: Behaviour
    finish_up: threading.Event

    def log_request(self, *args: object) -> None:
        pass

    log_error = log_request

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self.behaviour.asked.append(self.headers.get("Range"))
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        b = self.behaviour
        if b.status != 200:
            self.send_error(b.status)
            return
        start = self._start()
        if start is not None and start >= len(b.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(b.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200 if start is None else 206)
        if b.tag:
            self.send_header("ETag", b.tag)
        if start is not None:
            last = len(b.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(b.content)}")
        part = b.content[start or 0 :]
        if b.tells_length:
            self.send_header("Content-Length", str(len(part)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if body:
            self._send(part)

    def _start(self) -> int | None:
        b, span = self.behaviour, self.headers.get("Range")
        if not span or not b.ranges or self.headers.get("If-Range") != b.tag:
            return None
        return int(span.removeprefix("bytes=").rstrip("-"))

    def _send(self, part: bytes) -> None:
        b = self.behaviour
        if b.silent_after is not None:
            self.wfile.write(part[: b.silent_after])
            self.wfile.flush()
            self.finish_up.wait(30)
            self.close_connection = True
        elif b.break_after:
            self.wfile.write(part[: b.break_after.pop(0)])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        else:
            self.wfile.write(part)


@pytest.fixture
def behaviour() -> Behaviour:
    return Behaviour()


@pytest.fixture
def server(behaviour: Behaviour) -> Generator[str, None, None]:
    done = threading.Event()
    handler = type("Bound", (Handler,), {"behaviour": behaviour, "finish_up": done})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/weights.pth"
        done.set()
        http.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "weights.pth"


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file(server: str, target: Path):
    seen: list[tuple[int, int | None]] = []

    sha256 = download(server, target, progress=lambda done, total: seen.append((done, total)))

    assert target.read_bytes() == CONTENT
    assert sha256 == SHA256
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len(seen) > 5
    assert left_in(target.parent) == ["weights.pth"]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://host/a/b.pth", "b.pth"),
        ("https://host/a/b.pth?download=true&x=/y", "b.pth"),
        ("https://host/", "download"),
        ("https://host/../..%2fetc", "..%2fetc"),
    ],
)
def test_the_name_of_a_file(url: str, name: str):
    assert file_name(url) == name


def test_looking_downloads_nothing(server: str, behaviour: Behaviour):
    offer = look(server)

    assert offer.size == len(CONTENT)
    assert behaviour.asked == []


def test_a_broken_connection_is_taken_up_again(server: str, behaviour: Behaviour, target: Path):
    behaviour.break_after = [1_000_000, 500_000]

    assert download(server, target) == SHA256
    assert target.read_bytes() == CONTENT
    assert behaviour.asked == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_connection_that_never_brings_anything(server: str, behaviour: Behaviour, target: Path):
    behaviour.break_after = [0] * 10

    with pytest.raises(CheckpointError, match=r"ended after 0 of 3000000 bytes.*network"):
        download(server, target)

    assert len(behaviour.asked) == 3
    assert not target.exists()


def test_a_later_call_goes_on_where_the_first_stopped(
    server: str, behaviour: Behaviour, target: Path
):
    arrived = 0

    def progress(done: int, total: int | None) -> None:
        nonlocal arrived
        arrived = done

    with pytest.raises(DownloadCancelledError, match="kept"):
        download(server, target, progress=progress, cancelled=lambda: arrived > 1_000_000)
    kept = (target.parent / "weights.pth.part").stat().st_size
    assert 1_000_000 < kept < len(CONTENT)
    assert not target.exists()

    assert download(server, target) == SHA256
    assert behaviour.asked == [None, f"bytes={kept}-"]


@pytest.mark.parametrize("change", ["tag", "ranges", "no tag"])
def test_it_begins_anew_when_it_cannot_go_on(
    server: str, behaviour: Behaviour, target: Path, change: str
):
    if change == "no tag":
        behaviour.tag = None
    behaviour.break_after = [1_000_000]
    calls = 0

    def once() -> bool:
        nonlocal calls
        calls += 1
        return calls > 3

    with pytest.raises(DownloadCancelledError):
        download(server, target, cancelled=once)
    other = os.urandom(2_000_000)
    behaviour.content = other
    behaviour.break_after = []
    if change == "tag":
        behaviour.tag = '"two"'
    elif change == "ranges":
        behaviour.ranges = False

    assert download(server, target) == hashlib.sha256(other).hexdigest()
    assert target.read_bytes() == other


def test_a_part_that_is_the_whole_is_accepted(server: str, target: Path):
    target.parent.mkdir()
    part = target.parent / "weights.pth.part"
    part.write_bytes(CONTENT)
    (target.parent / "weights.pth.part.json").write_text('{"size": 3000000, "tag": "\\"one\\""}')

    assert download(server, target, sha256=SHA256) == SHA256


@pytest.mark.parametrize("note", ["", "[]", '{"tag": 3}', "{}"])
def test_a_damaged_note_does_no_harm(server: str, target: Path, note: str):
    target.parent.mkdir()
    (target.parent / "weights.pth.part").write_bytes(b"rubbish")
    (target.parent / "weights.pth.part.json").write_text(note)

    assert download(server, target) == SHA256


def test_a_wrong_size_is_refused(server: str, target: Path):
    with pytest.raises(CheckpointError, match="3000000 bytes and should have 2000000"):
        download(server, target, size=2_000_000)

    assert left_in(target.parent) == []


def test_a_length_that_is_not_told(server: str, behaviour: Behaviour, target: Path):
    behaviour.tells_length = False
    seen: list[int | None] = []

    assert download(server, target, progress=lambda _, total: seen.append(total)) == SHA256
    assert set(seen) == {None}
    assert look(server).size is None


def test_a_wrong_hash_is_refused_and_deleted(server: str, target: Path):
    with pytest.raises(CheckpointError, match=r"SHA-256 is .* not 000000000000"):
        download(server, target, sha256="0" * 64)

    assert left_in(target.parent) == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_server_that_refuses(server: str, behaviour: Behaviour, target: Path, status: int):
    behaviour.status = status

    with pytest.raises(CheckpointError, match=f"no weights.pth for us: {status}"):
        download(server, target)
    with pytest.raises(CheckpointError, match=str(status)):
        look(server)

    assert not target.exists()


def test_no_network(target: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    with pytest.raises(CheckpointError, match=r"could not be downloaded: .*refused.*network"):
        download(f"http://127.0.0.1:{port}/weights.pth", target)


def test_an_unknown_host(target: Path):
    with pytest.raises(CheckpointError, match="could not be downloaded"):
        download("http://nowhere.invalid/weights.pth", target)


def test_a_silent_server_is_not_waited_for(server: str, behaviour: Behaviour, target: Path):
    behaviour.silent_after = 0

    with pytest.raises(CheckpointError, match="timed out"):
        download(server, target, timeout=0.3)

    assert not target.exists()


def test_a_server_that_falls_silent_is_asked_again(server: str, behaviour: Behaviour, target: Path):
    behaviour.silent_after = 1_200_000

    assert download(server, target, timeout=0.3) == SHA256
    assert behaviour.asked == [None, "bytes=1200000-", "bytes=2400000-"]


def small_disk(folder: Path, size: str) -> bool:
    """Mount a disk of its own size, where this machine lets us."""
    folder.mkdir()
    if shutil.which("mount") is None:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def full_disk(tmp_path: Path) -> Generator[Callable[[str], Path], None, None]:
    folder = tmp_path / "disk"

    def make(size: str) -> Path:
        if not small_disk(folder, size):
            pytest.skip("only root can mount a small disk")
        return folder

    yield make
    if os.path.ismount(folder):
        subprocess.run(["umount", str(folder)], check=True)


def test_too_little_space_is_told_before_it_begins(server: str, full_disk: Callable[[str], Path]):
    folder = full_disk("1m")

    with pytest.raises(CheckpointError, match=r"no space left for weights\.pth.*Free some"):
        download(server, folder / "weights.pth")

    assert "weights.pth" not in left_in(folder)


def test_a_disk_that_fills_up_meanwhile(server: str, full_disk: Callable[[str], Path]):
    folder = full_disk("4m")

    def fill(done: int, total: int | None) -> None:
        if done > 1_000_000 and not (folder / "other").exists():
            free = shutil.disk_usage(folder).free
            (folder / "other").write_bytes(bytes(max(0, free - 100_000)))

    with pytest.raises(CheckpointError, match="no space left"):
        download(server, folder / "weights.pth", progress=fill)

    (folder / "other").unlink()
    assert download(server, folder / "weights.pth") == SHA256


def test_a_model_is_fetched_converted_and_loaded(
    server: str, behaviour: Behaviour, teacher_file: Path
):
    behaviour.content = teacher_file.read_bytes()
    store = ModelStore()

    record = fetch_model("sam-med3d", url=server)

    assert record.trust.startswith("first download")
    assert record.licence == "Apache-2.0"
    assert record.origin == MODELS["sam-med3d"].origin
    assert load_model("sam-med3d", device="cpu").fingerprint == record.sha256
    assert left_in(store.folder / "downloads") == ["first-use"]


def test_a_second_download_must_be_the_same_file(
    server: str, behaviour: Behaviour, teacher_file: Path, student_file: Path
):
    behaviour.content = teacher_file.read_bytes()
    fetch_model("sam-med3d", url=server)
    ModelStore().remove("sam-med3d")

    again = fetch_model("sam-med3d", url=server)
    assert "first download" in again.trust
    assert fetch_model("sam-med3d", url=server) == again
    behaviour.content = student_file.read_bytes()
    ModelStore().remove("sam-med3d")

    with pytest.raises(CheckpointError, match="not the file that it should be"):
        fetch_model("sam-med3d", url=server)
    assert ModelStore().names() == ()


def test_a_model_that_is_here_and_whole_is_not_downloaded_again(
    server: str, behaviour: Behaviour, teacher_file: Path
):
    behaviour.content = teacher_file.read_bytes()
    record = fetch_model("sam-med3d", url=server)
    asked = len(behaviour.asked)

    assert fetch_model("sam-med3d", url=server) == record
    assert len(behaviour.asked) == asked

    ModelStore().weights("sam-med3d").write_bytes(b"damaged")
    assert fetch_model("sam-med3d", url=server).sha256 == record.sha256
    assert len(behaviour.asked) > asked


def test_a_checkpoint_of_another_architecture_is_not_kept(
    server: str, behaviour: Behaviour, teacher_file: Path
):
    behaviour.content = teacher_file.read_bytes()

    with pytest.raises(CheckpointError, match="weights of sam-med3d, not of fastsam3d"):
        fetch_model("fastsam3d", url=server)

    assert ModelStore().names() == ()


def test_a_fetched_encoder_takes_the_rest_from_its_teacher(
    server: str, behaviour: Behaviour, teacher_file: Path, student_file: Path, tmp_path: Path
):
    import torch

    from napari_fastsam3d.model.sam_med3d.checkpoint_file import read_published

    stem = "image_encoder."
    weights = read_published(student_file).tensors
    alone = tmp_path / "alone.pth"
    torch.save({k[len(stem) :]: v for k, v in weights.items() if k.startswith(stem)}, alone)
    behaviour.content = alone.read_bytes()

    with pytest.raises(CheckpointError, match="models fetch sam-med3d"):
        fetch_model("fastsam3d", url=server)
    behaviour.content = teacher_file.read_bytes()
    fetch_model("sam-med3d", url=server)
    asked = len(behaviour.asked)

    record = fetch_model("fastsam3d", url=server)

    assert len(behaviour.asked) == asked  # the encoder had arrived already
    assert left_in(ModelStore().folder / "downloads") == ["first-use"]
    assert [part.file for part in record.provenance][1:] == ["sam-med3d.safetensors"] * 2


@pytest.mark.parametrize("name", ["default", "sam"])
def test_what_cannot_be_fetched(name: str):
    with pytest.raises(CheckpointError, match=r"nothing to fetch.*fastsam3d, sam-med3d"):
        fetch_model(name)
