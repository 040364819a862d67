"""A server measured: users at once, the cost of the protocol, and what is killed under load.

    python benchmarks/serving.py protocol           what HTTP adds to a click here
    python benchmarks/serving.py users --users 50   simulated users, no replica killed
    python benchmarks/serving.py kill --kills 50    the same, a replica killed again and again
    python benchmarks/serving.py nodes              two nodes of a Ray cluster, one killed
    python benchmarks/serving.py batch --scans 200  a batch, a worker and the driver killed; also
                                                    with --structures, and with --one-process
    python benchmarks/serving.py fuzz               1000 requests with something wrong

The model is a small one that needs no network unless `--model default` is given. Every mask is
compared with that of the same prompts made here.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import uvicorn

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.serving import cluster
from napari_fastsam3d.serving.app import make_app
from napari_fastsam3d.serving.model_host import ModelHost
from napari_fastsam3d.serving.one_process import Listening
from napari_fastsam3d.serving.server import Server
from napari_fastsam3d.serving.server_settings import Limits, ServerSettings
from napari_fastsam3d.serving.tokens import TokenFile
from napari_fastsam3d.session import ModelThread, Session
from napari_fastsam3d.session.model_runner import ModelRunner
from napari_fastsam3d.session.remote.remote_thread import RemoteThread
from napari_fastsam3d.session.remote.servers import ServerAccess

SUPPORT = Path(__file__).resolve().parents[1] / "tests" / "support"
sys.path.insert(0, str(SUPPORT))
PORT = 8790
ADDRESS = f"http://127.0.0.1:{PORT}"
PATIENCE = 300.0


def load(name: str):
    """Return the toy model, or one that is named."""
    if name != "toy":
        return name
    sys.path.insert(0, str(SUPPORT))
    from brightness_model import BrightnessModel

    return BrightnessModel()


def settings(folder: Path, model: str) -> ServerSettings:
    limits = Limits(requests_per_second=1e5, burst=1e5)
    return ServerSettings(folder, (model,), limits=limits)


def thread_of(token: str, model: str) -> RemoteThread:
    def client(access: ServerAccess) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(base_url=access.address, headers=headers, timeout=120)

    return RemoteThread(f"{ADDRESS}#{model}", PATIENCE, client)


class HereServer:
    """uvicorn and the model in this process, in threads of their own."""

    def __init__(self, folder: Path, model: str, loaded=None) -> None:
        chosen = settings(folder, model)
        host = ModelHost(model, chosen, ModelThread(loaded or load(model)))

        async def host_of(_name: str) -> ModelHost:
            return host

        app = make_app(Server(chosen, host_of))
        config = uvicorn.Config(app, port=PORT, log_level="warning", access_log=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> "HereServer":
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()


def scan_of(seed: int) -> Volume:
    """Make a small scan that no other user has."""
    rng = np.random.default_rng(seed)
    shape = (48, 48, 40)
    voxels = rng.normal(0, 5, shape) + 100 * (np.indices(shape)[0] > 20)
    voxels = voxels.astype(np.int16)
    return Volume.from_array(voxels, spacing=(2.0, 2.0, 2.0))


class User(threading.Thread):
    """Clicks at random; with `again` set, in one session after the other until that is cleared."""

    def __init__(self, number: int, token: str, model: str, clicks: int, pause: float) -> None:
        super().__init__()
        self.number, self.token, self.model = number, token, model
        self.clicks, self.pause = clicks, pause
        self.milliseconds: list[float] = []
        self.trouble = ""
        self.acknowledged = 0
        self.again = threading.Event()
        self.sessions: list[tuple[tuple[Point, ...], np.ndarray]] = []
        self._random = random.Random(number)

    def run(self) -> None:
        """Work, and keep what went wrong."""
        try:
            self._work()
            while self.again.is_set():
                self._work()
        except Exception as error:
            self.trouble = f"{type(error).__name__}: {error}"

    def _work(self) -> None:
        volume, rng = scan_of(self.number), self._random
        with (
            thread_of(self.token, self.model) as thread,
            Session(volume, thread) as session,
        ):
            session.wait()
            for number in range(self.clicks):
                place = tuple(rng.randrange(n) for n in volume.shape)
                result = session.add_point(place, positive=rng.random() < 0.7)
                if number:  # the first looks at the scan, which the others need not
                    self.milliseconds.append(result.milliseconds)
                self.acknowledged += 1
                time.sleep(self.pause * rng.random())
            self.sessions.append((session.state.objects[0].prompts, session.mask()))

    def check(self, model: ModelThread) -> None:
        """Note what isn't as it is where the same prompts are given here."""
        for prompts, found in self.sessions:
            with Session(scan_of(self.number), model) as here:
                for prompt in prompts:
                    here.add_point(prompt.index, positive=prompt.positive)
                if not np.array_equal(found, here.mask()):
                    self.trouble = "another mask than here"
        if sum(len(prompts) for prompts, _ in self.sessions) != self.acknowledged:
            self.trouble = self.trouble or "an acknowledged prompt was lost"


def simulate(
    folder: Path, options: argparse.Namespace, number: int, again: bool = False
) -> list[User]:
    file = TokenFile(folder / "tokens.json")
    tokens = [file.add(f"user{n}")[1] for n in range(number)]
    users = [
        User(n, token, options.model, options.clicks, options.pause)
        for n, token in enumerate(tokens)
    ]
    for user in users:
        if again:
            user.again.set()
        user.start()
    return users


def tell(users: list[User], what: str) -> None:
    for user in users:
        user.join()
    with ModelThread(load(users[0].model)) as model:
        for user in users:
            user.check(model)
    times = [t for user in users for t in user.milliseconds]
    failed = [user.trouble for user in users if user.trouble]
    quantiles = statistics.quantiles(times, n=20)
    print(
        f"{what}: {len(users)} users, {len(times)} clicks, "
        f"median {statistics.median(times):.0f} ms, p95 {quantiles[-1]:.0f} ms, "
        f"{len(failed)} failed",
        flush=True,
    )
    for each in failed[:5]:
        print("  ", each)


def protocol(folder: Path, options: argparse.Namespace) -> None:
    """Click alike here and through the server, both in this process; each changes 128^3 voxels."""
    from brightness_model import BrightnessModel

    volume = ball()
    token = TokenFile(folder / "tokens.json").add("anna")[1]
    rng = np.random.default_rng(0)
    model, other = BrightnessModel(size=64), BrightnessModel(size=64)
    added: dict[str, list[float]] = {"clock": [], "processor": []}
    sizes: list[np.ndarray] = []

    in_model = [0.0, 0.0]
    whole_step = ModelRunner.step

    def timed_step(*args, **kwargs):
        a, b = time.perf_counter(), time.process_time()
        found = whole_step(*args, **kwargs)
        in_model[:] = time.perf_counter() - a, time.process_time() - b
        return found

    ModelRunner.step = timed_step

    def click(session: Session, place: tuple[int, ...]) -> tuple[float, float]:
        """Return milliseconds beside the model, of the clock and of the processors of both."""
        a, b = time.perf_counter(), time.process_time()
        session.add_point(place)
        clock, processor = time.perf_counter() - a, time.process_time() - b
        return (clock - in_model[0]) * 1000, (processor - in_model[1]) * 1000

    with (
        HereServer(folder, "toy", other),
        thread_of(token, "toy") as thread,
        Session(volume, model) as here,
        Session(volume, thread) as there,
    ):
        there.wait()
        for _ in range(options.clicks):
            place = tuple(map(int, rng.integers(73, 79, 3)))
            for session in (here, there):
                # What changed since the mask before is sent: let that be a few voxels.
                session.add_box(place, tuple(each + 2 for each in place))
                session.undo()
            one, two = click(here, place), click(there, place)
            sizes.append(np.ptp(np.nonzero(there.mask()), axis=1) + 1)
            assert np.array_equal(here.mask(), there.mask())
            for what, first, second in zip(added, one, two, strict=True):
                added[what].append(second - first)
            for session in (here, there):
                session.undo()
    for what, times in added.items():
        quarter, median, _ = statistics.quantiles(times, n=4)
        print(f"protocol adds {median:.1f} ms of the {what}, {quarter:.1f} in the best quarter")
    print(f"boxes of {np.median(sizes, axis=0)} voxels")
    wire_cost()


def ball() -> Volume:
    """Make a scan with a ball as large as a crop of 128^3 voxels."""
    distance = np.sqrt(((np.indices((152, 152, 152)) - 75.5) ** 2).sum(axis=0))
    voxels = np.where(distance <= 67.0, 100, 0).astype(np.int16)
    return Volume.from_array(voxels, spacing=(1.0, 1.0, 1.0))


def wire_cost() -> None:
    """Measure packing, checking and unpacking of a change of 128^3 voxels."""
    from napari_fastsam3d.geometry.box import Box
    from napari_fastsam3d.geometry.mask import Mask
    from napari_fastsam3d.inference.step import Step
    from napari_fastsam3d.session.remote.wire import step_from_json, step_to_json

    grid = np.indices((128, 128, 128)) - 63.5
    ball = np.asfortranarray((grid**2).sum(axis=0) < 63.9**2)
    mask = Mask.of(Box.whole(ball.shape), ball)
    volume = Volume.from_array(np.zeros(ball.shape, np.int16))
    there, back = [], []
    for _ in range(30):
        a = time.process_time()
        said = json.dumps(step_to_json(Step(mask), Mask.empty()))
        b = time.process_time()
        step_from_json(json.loads(said), Mask.empty(), volume)
        there.append((b - a) * 1000)
        back.append((time.process_time() - b) * 1000)
    print(
        f"a ball of 128^3: packed in {statistics.median(there):.1f} ms, unpacked in "
        f"{statistics.median(back):.1f} ms, {len(said) / 1000:.0f} kB"
    )


def serve(folder: Path, options: argparse.Namespace, **ray_options) -> None:
    os.environ["PYTHONPATH"] = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    replicas = cluster.Replicas(options.replicas, options.replicas, cpus=0.5)
    listening = Listening("127.0.0.1", PORT)
    if options.address is None:
        ray_options = {"num_cpus": 2, **ray_options}
    cluster.begin(
        settings(folder, options.model), listening, replicas, options.address, load, **ray_options
    )


def users(folder: Path, options: argparse.Namespace) -> None:
    serve(folder, options)
    try:
        tell(simulate(folder, options, 1), "alone")
        tell(simulate(folder, options, options.users), "at once")
    finally:
        cluster.end()


def clicks_of(users: list[User]) -> int:
    return sum(user.acknowledged for user in users)


def own_processes(name: str, root: int) -> list[int]:
    """Return the processes of a name that descend from one: nobody else's."""
    parents: dict[int, int] = {}
    named: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            status = (folder / "stat").read_text().rsplit(")")[-1].split()
            parents[int(folder.name)] = int(status[1])
            if (folder / "cmdline").read_bytes().decode().startswith(name):
                named.append(int(folder.name))

    def descends(pid: int) -> bool:
        return pid == root or (pid in parents and descends(parents[pid]))

    return [pid for pid in named if descends(pid)]


def kill(folder: Path, options: argparse.Namespace) -> None:
    serve(folder, options)
    rng = random.Random(0)
    try:
        running = simulate(folder, options, options.users, again=True)
        killed = 0
        while killed < options.kills and any(user.is_alive() for user in running):
            # At any moment of the work, and not while none of it goes on.
            before = clicks_of(running)
            while clicks_of(running) == before and any(user.is_alive() for user in running):
                time.sleep(0.01)
            time.sleep(options.between * rng.random())
            pids = own_processes("ray::ServeReplica", options.root or os.getpid())
            if pids:
                os.kill(rng.choice(pids), signal.SIGKILL)
                killed += 1
        for user in running:
            user.again.clear()
        tell(running, f"{killed} replicas killed")
    finally:
        cluster.end()


def batch(folder: Path, options: argparse.Namespace) -> None:
    """Kill a worker, then the driver, then let it end; count what was done, and how often."""
    sys.path.insert(0, str(SUPPORT.parent / "serving"))
    from test_batch import check, make_study

    (make_found_study if options.structures else make_study)(folder, options.scans)
    records = folder / "masks" / ".batch"
    program = [sys.executable, __file__, "batch-driver", str(folder)]
    program += ["--address", options.address] if options.address else []
    program += ["--structures"] if options.structures else []
    program += ["--one-process"] if options.one_process else []

    def done() -> int:
        return len(list(records.glob("ct*.json"))) if records.is_dir() else 0

    driver = subprocess.Popen(program)
    killed = int(options.one_process)  # there is no worker beside the driver
    while driver.poll() is None:
        if killed == 0 and done() >= options.scans // 4:
            workers = own_processes("ray::", options.root or driver.pid)
            workers = [
                pid for pid in workers if b"Worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
            os.kill(workers[0], signal.SIGKILL)
            killed = 1
        if killed == 1 and done() >= options.scans // 2:
            driver.kill()
            killed = 2
        time.sleep(0.02)
    before = {p.name: p.stat().st_mtime_ns for p in records.glob("ct*.json")}
    what = "driver" if options.one_process else "worker and driver"
    print(f"batch: {what} killed, {len(before)} of {options.scans} done", flush=True)
    subprocess.run(program, check=True)
    again = sum(p.stat().st_mtime_ns != before.get(p.name) for p in records.glob("ct*.json"))
    check(folder, options.scans)
    print(f"batch: {again} done after that, all {options.scans} masks as they should be")


def make_found_study(home: Path, number: int) -> None:
    """Make scans, adapters of two structures, and the masks of these as `auto` makes them."""
    import nibabel as nib
    from small_pyramid import ball_scan, made, small_pyramid

    from napari_fastsam3d.geometry import read_volume
    from napari_fastsam3d.model.adapter_store import AdapterStore

    for name in ("scans", "expected"):
        (home / name).mkdir()
    predictor, store = small_pyramid(), AdapterStore(home / "adapters")
    for name, bias in (("ball", 0.5), ("rim", -0.2)):
        store.add(made(predictor, name, bias))
    with ModelThread(predictor) as model:
        for n in range(number):
            path = home / "scans" / f"ct{n}.nii.gz"
            volume, _ = ball_scan(n)
            nib.save(nib.Nifti1Image(np.asarray(volume.voxels), volume.affine), path)
            with Session(read_volume(path), model, adapters=store) as session:
                session.segment_automatically()
                session.wait()
                session.save(home / "expected" / path.name)


def batch_driver(folder: Path, options: argparse.Namespace) -> None:
    sys.path.insert(0, str(SUPPORT.parent / "serving"))
    path = os.pathsep.join([str(SUPPORT), str(SUPPORT.parent / "serving")])
    os.environ["PYTHONPATH"] = os.pathsep.join([path, os.environ.get("PYTHONPATH", "")])
    from test_batch import ToyWorker

    from napari_fastsam3d.serving import batch as running
    from napari_fastsam3d.serving.batch_scan import BatchModel, scans_of

    running.BatchWorker = ToyWorker
    output, model, prompts = folder / "masks", BatchModel(), folder / "prompts"
    if options.structures:
        from test_batch import PyramidWorker

        running.BatchWorker, prompts = PyramidWorker, None
        model = BatchModel(adapters=folder / "adapters").with_fitted()
    scans = scans_of(folder / "scans", prompts, output)
    ray_options = {} if options.address else {"num_cpus": 2}
    with running.one_batch_in(output):
        left = running.left_to_do(scans, model)
        if options.one_process:
            running.run_here(left, model, lambda _: None)
            running.write_tables(scans, output)
            return
        shares = cluster.Replicas(2, 2, cpus=0.5)
        running.run_on_ray(left, model, lambda _: None, shares, options.address, **ray_options)
        running.write_tables(scans, output)


def fuzz(folder: Path, options: argparse.Namespace) -> None:
    """Send requests with something replaced, added or cut; count statuses, time each."""
    token = TokenFile(folder / "tokens.json").add("anna")[1]
    volume, rng = scan_of(0), random.Random(0)
    junk = [None, -1, 1e308, 2**80, "", "../..", "\0", [], [[]], {}, True, "a" * 5000, [1] * 10000]
    paths = ["sessions/steps", "sessions/candidates", "sessions/ahead", "models/x", "server"]
    paths += [f"volumes/{volume.content_hash}", "volumes/../../etc", "volumes/x/chunks/-1"]
    statuses: dict[int, int] = {}
    slowest = 0.0

    async def send() -> None:
        nonlocal slowest
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=ADDRESS, headers=headers, timeout=60) as client:
            for n in range(options.requests):
                click = {"id": 1, "point": [9, 9, 9], "positive": True}
                asked: dict = {
                    "protocol": 1,
                    "session": "0" * 32,
                    "number": n,
                    "model": options.model,
                    "volume": volume.content_hash,
                    "log": {"base": None, "append": [click]},
                }
                target = rng.choice([asked, asked["log"], click])
                target[rng.choice([*target, "more"])] = rng.choice(junk)
                body = bytearray(json.dumps(asked).encode())
                if rng.random() < 0.3:
                    body[rng.randrange(len(body))] = rng.randrange(256)
                if rng.random() < 0.2:
                    del body[rng.randrange(len(body)) :]
                path = rng.choice(paths)
                method = "POST" if path.startswith("sessions") else rng.choice(["PUT", "GET"])
                if rng.random() < 0.1:
                    method = rng.choice(["POST", "PUT", "GET", "DELETE", "PATCH"])
                begun = time.perf_counter()
                answer = await client.request(method, f"/v1/{path}", content=bytes(body))
                slowest = max(slowest, time.perf_counter() - begun)
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1

    with HereServer(folder, options.model), thread_of(token, options.model) as thread:
        with Session(volume, thread) as session:
            session.add_point((9, 9, 9))
        asyncio.run(send())
        with Session(volume, thread) as session:
            session.add_point((9, 9, 9))
    print(f"fuzz: statuses {dict(sorted(statuses.items()))}, slowest {slowest * 1000:.0f} ms")


def nodes(folder: Path, options: argparse.Namespace) -> None:
    """Serve on two nodes of a cluster on this machine, and kill one of them under load."""
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")  # read when Ray is imported
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 200 << 20, "include_dashboard": False}
    ray_cluster = Cluster(initialize_head=True, head_node_args=node)
    second = ray_cluster.add_node(num_cpus=1, object_store_memory=200 << 20)
    options.address, options.replicas = ray_cluster.address, 2
    serve(folder, options)
    try:
        running = simulate(folder, options, options.users)
        half = options.users * options.clicks // 2
        while (done := clicks_of(running)) < half:
            if not any(user.is_alive() for user in running):
                break
            time.sleep(0.05)
        ray_cluster.remove_node(second, allow_graceful=False)
        tell(running, f"one of two nodes killed after {done} clicks")
    finally:
        cluster.end()
        ray_cluster.shutdown()


WAYS = {
    "protocol": protocol,
    "users": users,
    "kill": kill,
    "nodes": nodes,
    "batch": batch,
    "batch-driver": batch_driver,
    "fuzz": fuzz,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=WAYS)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--clicks", type=int, default=20)
    parser.add_argument("--pause", type=float, default=0.2, help="longest pause of a user, s")
    parser.add_argument("--model", default="toy")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--between", type=float, default=5.0, help="longest time between, s")
    parser.add_argument("--scans", type=int, default=200)
    parser.add_argument("--structures", action="store_true", help="of a batch, not prompts")
    parser.add_argument("--one-process", action="store_true", help="a batch without Ray")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--address", help="a Ray cluster that runs")
    parser.add_argument("--root", type=int, help="process of its raylet, on this machine")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    WAYS[options.what](folder, options)


if __name__ == "__main__":
    main()
