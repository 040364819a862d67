"""What an operator copies works: commands that are written down, compose, KubeRay, Dockerfile."""

import ast
import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from napari_fastsam3d.cli import app
from napari_fastsam3d.cli.serve import _check_transport
from napari_fastsam3d.errors import ServerError
from napari_fastsam3d.serving.cluster import Replicas, from_config

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PROGRAM = "napari-fastsam3d"
PAGES = (*sorted(DEPLOY.iterdir()), ROOT / "docs" / "serving.md", ROOT / "README.md")


def parsed(words: list[str]) -> tuple[str, dict[str, Any]]:
    """Parse a command line without running it; return the command and its parameters."""
    command = typer.main.get_command(app)
    context = command.make_context(PROGRAM, list(words))
    names: list[str] = []
    while hasattr(command, "commands"):
        left = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, left)
        context = command.make_context(name, rest, parent=context)
        names.append(name)
    return " ".join(names), context.params


def commands(page: Path) -> list[str]:
    """Return the commands of this program that a page tells to run."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(rf"(?:^|[ `]){PROGRAM} ([a-z][^\n`#]*)", text, re.MULTILINE)
    starting = r"(serve|tokens|login|batch|segment) (?!\w+ (is|are|runs)\b)"
    return [each.strip().rstrip(".") for each in found if re.match(starting, each)]


@pytest.mark.parametrize(
    "line", sorted({line for page in PAGES for line in commands(page)}), ids=str
)
def test_commands_that_are_written_down_can_be_run(line: str):
    asks = ["--token", "x"] if line.startswith("login") else []  # it would be asked for
    parsed([*shlex.split(line), *asks])


def test_there_are_such_commands():
    assert {"tokens revoke anna", "tokens add anna --folder /data"} <= {
        line for page in PAGES for line in commands(page)
    }


@pytest.fixture
def service() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["server"]


def test_compose_starts_a_server_that_is_let_start(service: dict[str, Any]):
    name, chosen = parsed(shlex.split(service["command"]))
    assert name == "serve"
    _check_transport(chosen["host"], chosen["certificate"], chosen["key"], chosen["behind_proxy"])
    with pytest.raises(ServerError, match="in the clear"):
        _check_transport(chosen["host"], None, None, False)

    places = {volume.split(":")[1] for volume in service["volumes"]}
    for path in (chosen["folder"], chosen["certificate"].parent, chosen["key"].parent):
        assert str(path) in places
    assert service["ports"] == [f"{chosen['port']}:{chosen['port']}"]
    assert str(chosen["port"]) in service["healthcheck"]["test"][-1]
    ast.parse(service["healthcheck"]["test"][-1])
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]


def test_compose_drains_before_it_is_killed(service: dict[str, Any]):
    from napari_fastsam3d.serving.one_process import DRAIN_SECONDS

    assert int(service["stop_grace_period"].rstrip("s")) > DRAIN_SECONDS


def test_the_image_is_built_of_what_is_here(service: dict[str, Any]):
    build = service["build"]
    context = (DEPLOY / build["context"]).resolve()
    lines = (context / build["dockerfile"]).read_text()
    project = tomllib.loads((context / "pyproject.toml").read_text())["project"]

    assert context == ROOT
    assert "/source[serve]" in lines
    assert "serve" in project["optional-dependencies"]
    assert f'ENTRYPOINT ["{PROGRAM}"]' in lines
    assert PROGRAM in project["scripts"]
    assert (ROOT / "constraints.txt").exists()


@pytest.fixture
def kuberay() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kuberay.yaml").read_text()))


def test_kuberay_serves_what_ray_takes(kuberay: list[dict[str, Any]]):
    from ray.serve.schema import ServeDeploySchema

    said = yaml.safe_load(kuberay[0]["spec"]["serveConfigV2"])
    schema = ServeDeploySchema.model_validate(said)
    (application,) = schema.applications
    module, _, name = application.import_path.partition(":")

    assert getattr(import_module(module), name) is from_config
    bound = from_config(dict(application.args))
    deployment = bound._bound_deployment
    assert deployment.ray_actor_options["num_gpus"] == application.args["gpus"]
    scaling = deployment._deployment_config.autoscaling_config
    assert f"{scaling.min_replicas}-{scaling.max_replicas}" == application.args["replicas"]


def test_kuberay_gives_pods_what_replicas_need(kuberay: list[dict[str, Any]]):
    """Each replica fits into a worker, all see the folder, and Ray's ports are closed."""
    service, claim, policy = kuberay
    args = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"][0]["args"]
    cluster = service["spec"]["rayClusterConfig"]
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for pod in (each["template"]["spec"] for each in pods):
        mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
        claims = {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"]}
        assert claims == dict.fromkeys(mounts, claim["metadata"]["name"])
        assert args["folder"] in mounts.values()
    limits = cluster["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["resources"]
    assert float(limits["limits"]["cpu"]) >= args["cpus"]
    assert float(limits["limits"]["nvidia.com/gpu"]) >= args["gpus"]
    port = yaml.safe_load(service["spec"]["serveConfigV2"])["http_options"]["port"]
    open_to_all = [rule for rule in policy["spec"]["ingress"] if "from" not in rule]
    assert open_to_all == [{"ports": [{"port": port}]}]


@pytest.mark.parametrize(
    ("text", "least", "most"), [("1", 1, 1), ("3", 3, 3), ("1-4", 1, 4), ("2-2", 2, 2)]
)
def test_a_number_of_replicas(text: str, least: int, most: int):
    found = Replicas.parse(text, cpus=2.0, gpus=0.25)

    assert found == Replicas(least, most, 2.0, 0.25)
    assert ("autoscaling_config" in found.scaling) == (least != most)


@pytest.mark.parametrize("text", ["", "0", "-1", "4-1", "0-3", "1-", "a", "1-2-3", "1.5", "1 -"])
def test_what_is_no_number_of_replicas(text: str):
    with pytest.raises(ServerError, match="no number of replicas"):
        Replicas.parse(text)
