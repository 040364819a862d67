"""Whatever is sent to a server by whomever: refused in a sentence, and nothing leaks or hangs."""

import asyncio
import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ball_and_slab import BALL, ball_and_slab
from brightness_model import BrightnessModel
from served import Department, header, put_chunk, question, send

from napari_fastsam3d.errors import ServerError
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.serving.server_settings import Limits
from napari_fastsam3d.serving.volume_store import sweep
from napari_fastsam3d.session import Session
from napari_fastsam3d.session.remote.chunks import ChunkGrid, content_digest
from napari_fastsam3d.session.remote.wire import NO_PROMPTS


def kind(response) -> tuple[int, str]:
    assert set(response.json()) == {"kind", "problem", "remedy"}
    return response.status_code, response.json()["kind"]


def test_tokens_let_in_whom_they_should(department: Department, caplog):
    caplog.set_level(logging.INFO)
    token = department.token()

    assert department.ask("GET", "/v1/server", token).json()["user"] == "anna"
    assert kind(department.ask("GET", "/v1/server")) == (401, "no_token")
    assert kind(department.ask("GET", "/v1/server", token[:-1])) == (401, "no_token")
    department.server.tokens.revoke("anna")
    assert kind(department.ask("GET", "/v1/server", token)) == (401, "no_token")
    assert department.ask("GET", "/health").json() == {"status": "alive"}
    assert department.ask("GET", "/ready").json() == {"status": "ready"}
    file = department.server.tokens.path
    assert token not in file.read_text() + caplog.text
    assert file.stat().st_mode & 0o077 == 0


def test_a_session_without_a_token_says_what_to_do(volume, department: Department):
    thread = department.thread()
    department.server.tokens.revoke("anna")
    with thread, Session(volume, thread) as session, pytest.raises(ServerError, match="login"):
        session.add_point(BALL)


def test_volumes_of_others_are_not_there(volume, department: Department):
    anna, berta = department.token("anna"), department.token("berta")
    send(department, volume, anna)
    path = f"/v1/volumes/{volume.content_hash}"

    assert department.ask("GET", path, anna).json() == {"complete": True, "missing": []}
    assert kind(department.ask("GET", path, berta)) == (404, "unknown_volume")
    assert department.ask("GET", "/v1/volumes", berta).json() == {}
    department.ask("DELETE", path, berta)
    asked = question(volume)
    assert department.ask("POST", "/v1/sessions/steps", anna, json=asked).status_code == 200
    refused = department.ask("POST", "/v1/sessions/steps", berta, json=asked)
    assert kind(refused) == (404, "unknown_volume")
    known = {"log": {"base": "f" * 64, "append": []}}
    send(department, volume, berta)
    asked = question(volume, **known)
    assert kind(department.ask("POST", "/v1/sessions/steps", berta, json=asked))[1] == "unknown_log"


def test_damaged_uploads_are_refused(volume, department: Department):
    token, grid = department.token(), ChunkGrid.of(volume)
    path, data = f"/v1/volumes/{volume.content_hash}", grid.compress(grid.raw(volume, 0))
    department.ask("PUT", path, token, json=header(volume))
    bomb = grid.compress(bytes(64 << 20))

    for bad in (b"", data[:-5], data[:20] + b"x" + data[21:], bomb, b"no zstd"):
        response = put_chunk(department, path, token, 0, bad)
        assert kind(response) == (422, "damaged_chunk")
    wrong = put_chunk(department, path, token, 0, data, content_digest(b"else"))
    assert kind(wrong) == (422, "damaged_chunk")
    assert kind(put_chunk(department, path, token, 7, data)) == (422, "no_such_chunk")
    assert kind(department.ask("POST", f"{path}/complete", token)) == (409, "chunks_missing")
    assert put_chunk(department, path, token, 0, data).status_code == 200


def test_a_volume_is_what_it_is_called(volume, department: Department):
    token, grid = department.token(), ChunkGrid.of(volume)
    path = f"/v1/volumes/{volume.content_hash}"
    department.ask("PUT", path, token, json=header(volume))
    put_chunk(department, path, token, 0, grid.compress(bytes(grid.nbytes)))

    assert kind(department.ask("POST", f"{path}/complete", token)) == (422, "damaged_volume")
    assert kind(department.ask("GET", path, token)) == (404, "unknown_volume")


def test_there_is_a_limit_to_everything(volume, tmp_path):
    limits = Limits(volume_bytes=300_000, user_volumes=1, body_bytes=200_000, prompts=2)
    department = Department(tmp_path, limits)
    token = department.token()
    path = f"/v1/volumes/{'a' * 64}"
    for change, refused in (
        ({"shape": [4000, 4000, 4000]}, (413, "volume_too_large")),
        ({"shape": [0, 5, 5]}, (422, "no_volume")),
        ({"shape": [-5, -5, 5]}, (422, "no_volume")),
        ({"dtype": "|O"}, (422, "not_understood")),
        ({"planes": 0}, (422, "not_understood")),
        ({"affine": [[1, 2], [3, 4]]}, (422, "not_understood")),
    ):
        said = {**header(volume), **change}
        assert kind(department.ask("PUT", path, token, json=said)) == refused
    send(department, volume, token)
    assert kind(department.ask("PUT", path, token, json=header(volume))) == (507, "no_room")
    large = department.ask("PUT", path, token, content=b" " * 200_001)
    assert kind(large) == (413, "too_large")
    log = {"base": None, "append": question(volume)["log"]["append"] * 3}
    asked = question(volume, log=log)
    assert kind(department.ask("POST", "/v1/sessions/steps", token, json=asked))[1] == "long_log"


def test_paths_are_read_below_the_roots_only(volume, tmp_path):
    root, elsewhere = tmp_path / "scans", tmp_path / "private"
    for folder in (root, elsewhere):
        folder.mkdir()
        save_scan(volume, folder / "scan.nii.gz")
    (root / "link.nii.gz").symlink_to(elsewhere / "scan.nii.gz")
    department = Department(tmp_path / "server", roots=(root,))
    token, path = department.token(), f"/v1/volumes/{volume.content_hash}/path"

    for bad in (
        elsewhere / "scan.nii.gz",
        root / ".." / "private" / "scan.nii.gz",
        root / "link.nii.gz",
        root / "absent.nii.gz",
        "/etc/passwd",
        "scan.nii.gz\0",
        root,
    ):
        response = department.ask("PUT", path, token, json={"path": str(bad)})
        assert kind(response) == (403, "path")
    other = path.replace(volume.content_hash, "b" * 64)
    named = {"path": str(root / "scan.nii.gz")}
    assert kind(department.ask("PUT", other, token, json=named)) == (403, "path")
    assert department.ask("PUT", path, token, json=named).status_code == 200
    asked = question(volume)
    assert department.ask("POST", "/v1/sessions/steps", token, json=asked).status_code == 200


def test_a_scan_that_the_server_sees_is_not_sent(tmp_path):
    from napari_fastsam3d.geometry import read_volume

    save_scan(ball_and_slab(), tmp_path / "scan.nii.gz")
    seen = read_volume(tmp_path / "scan.nii.gz")
    department = Department(tmp_path / "server", roots=(tmp_path,))
    with department.thread() as thread, Session(seen, thread) as session:
        session.add_point(BALL)
        assert session.mask().any()

    assert not any("/chunks/" in request.url.path for request in department.requests)


def save_scan(volume: Volume, path: Path) -> None:
    import nibabel as nib

    nib.save(nib.Nifti1Image(np.asarray(volume.voxels), volume.affine), path)


def test_a_request_sent_again_changes_nothing(volume, department: Department):
    token = department.token()
    send(department, volume, token)
    steps = "/v1/sessions/steps"
    first = department.ask("POST", steps, token, json=question(volume, 5)).json()
    again = department.ask("POST", steps, token, json=question(volume, 5)).json()
    late = department.ask("POST", steps, token, json=question(volume, 4))

    assert again == first
    assert kind(late) == (409, "outdated")
    department.start()
    assert department.ask("POST", steps, token, json=question(volume, 5)).json() == first


@pytest.mark.parametrize(
    "prompt",
    [
        {"id": 1, "point": [60, 0, 0], "positive": True},
        {"id": 1, "point": [0, -1, 0], "positive": True},
        {"id": 1, "point": [0.5, 1, 1], "positive": True},
        {"id": 1, "box": [[0, 0, 0], [61, 1, 1]]},
        {"id": 1, "mask": {"box": [[0, 0, 0], [9, 9, 9]], "bits": "AAAA"}},
        {"id": 1, "scribble": {"box": [[0, 0, 0], [10**9] * 3], "bits": ""}, "positive": True},
        {"recall": {"way": "other", "structure": None}},
        {},
    ],
)
def test_prompts_that_are_none_are_refused(volume, department: Department, prompt: dict):
    token = department.token()
    send(department, volume, token)
    asked = question(volume, log={"base": NO_PROMPTS, "append": [prompt]})
    response = department.ask("POST", "/v1/sessions/steps", token, json=asked)

    assert kind(response)[0] == 422


def test_random_requests_are_answered_and_refused(volume, department: Department, caplog):
    """Valid requests with something replaced, added or cut: 4xx in the one form, never 5xx."""
    token, rng = department.token(), np.random.default_rng(0)
    send(department, volume, token)
    junk = [None, -1, 1e400, 2**80, "", "../..", "\0", [], [[]], {}, True, "a" * 5000, {"a": []}]
    for n in range(150):
        asked = question(volume, n)
        names = list(asked)
        match n % 3:
            case 0:
                asked[names[rng.integers(len(names))]] = junk[rng.integers(len(junk))]
            case 1:
                asked["log"]["append"][0]["point"] = junk[rng.integers(len(junk))]
            case 2:
                asked["extra"] = junk[rng.integers(len(junk))]
        body = json.dumps(asked).encode()
        if n % 5 == 0:
            body = bytes(rng.permutation(np.frombuffer(body, np.uint8)))
        place = ("steps", "candidates", "ahead")[n % 3]
        response = department.ask("POST", f"/v1/sessions/{place}", token, content=body)
        assert response.status_code < 500
        if response.status_code != 200:
            kind(response)
            assert len(response.content) < 500


def test_what_nobody_uses_goes(volume, department: Department):
    token = department.token()
    send(department, volume, token)
    volumes = department.settings.folder / "volumes"
    stored = volumes / "anna" / volume.content_hash / "header.json"

    assert sweep(volumes, 60) == 0
    os.utime(stored, (0, 0))
    assert sweep(volumes, 60) == 1
    assert department.ask("GET", "/v1/volumes", token).json() == {}


def test_the_schema_is_described(department: Department):
    described = department.ask("GET", "/v1/openapi.json").json()

    assert "/v1/sessions/steps" in described["paths"]
    assert {"Log", "StepReply", "Problem"} <= set(described["components"]["schemas"])


def test_a_model_that_is_not_offered(volume, department: Department):
    token = department.token()
    send(department, volume, token)
    asked = question(volume, model="/etc/passwd")
    response = department.ask("POST", "/v1/sessions/steps", token, json=asked)

    assert kind(response) == (404, "unknown_model")


def test_a_busy_user_waits(volume, tmp_path):
    department = Department(tmp_path, replace(Limits(), waiting=1))
    token = department.token()
    send(department, volume, token)
    model: BrightnessModel = department.model
    model.may_go_on.clear()

    async def ask_two() -> list[int]:
        async with department.client(token) as client:
            first = asyncio.create_task(
                client.post("/v1/sessions/steps", json=question(volume, session="1" * 32))
            )
            while not model.is_waiting.is_set():
                await asyncio.sleep(0.01)
            second = await client.post("/v1/sessions/steps", json=question(volume))
            model.may_go_on.set()
            return [(await first).status_code, second.status_code]

    assert asyncio.run(ask_two()) == [200, 429]
