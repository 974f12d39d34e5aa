"""`make push`: what it says where something is missing, and a real push to a real registry."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from aws import Aws
from containers import ENGINE, IMAGE

PUSH = Path(__file__).parent.parent / ".ci" / "push"
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ecs-batch-worker"
WHOLE = {"ENGINE": "true", "IMAGE": "ecs-batch-worker:1.2.3", "VERSION": "1.2.3", "REPOSITORY": ECR, "PUSH_ARGS": ""}
REGISTRY = """{version: 0.1, log: {accesslog: {disabled: true}}, http: {addr: "127.0.0.1:0"},
               storage: {filesystem: {rootdirectory: FOLDER}}}"""


def push(path: str = os.environ["PATH"], **changes: str) -> subprocess.CompletedProcess[str]:
    """Run it with everything set but for these; `true` is an engine that says yes to all."""
    kept = {name: os.environ[name] for name in ("CONTAINERS_CONF", "STORAGE_DRIVER") if name in os.environ}
    environment = {"PATH": path, **kept, **WHOLE, **changes}
    bash = shutil.which("bash") or ""
    return subprocess.run([bash, PUSH], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"REPOSITORY": ""}, "REPOSITORY is not set"),
        ({"ENGINE": ""}, "no docker, podman or buildah that works"),
        ({"ENGINE": "false"}, "there is no image ecs-batch-worker:1.2.3"),
        ({"VERSION": "1.2.3-4-gabcdef-dirty"}, "VERSION is 1.2.3-4-gabcdef-dirty"),
        ({"VERSION": "unknown"}, "VERSION is unknown"),
    ],
)
def test_push_says_what_is_missing(changes: dict[str, str], said: str) -> None:
    """One line that names it and what to do, exit 1, nothing on standard output."""
    ended = push(**changes)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_push_to_ecr_needs_the_aws_command(tmp_path: Path) -> None:
    """Without it there is no password; said before anything is sent."""
    (tmp_path / "true").symlink_to(shutil.which("true") or "")
    ended = push(path=str(tmp_path))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "no aws command: install the AWS CLI" in ended.stderr


def test_push_to_ecr_says_when_aws_gives_no_password(tmp_path: Path) -> None:
    """What aws says of its credentials is seen, and that it was for this registry."""
    for name, program in (("true", "true"), ("aws", "false")):
        (tmp_path / name).symlink_to(shutil.which(program) or "")
    assert f"aws gave no password for {ECR.partition('/')[0]}" in push(path=str(tmp_path)).stderr


def test_push_to_ecr_logs_in_with_the_password_that_aws_gives(tmp_path: Path, aws: Aws) -> None:
    """The real AWS command line asks for it in the registry's region; the engine has it from standard input, not on its command line."""
    said = tmp_path / "said"
    engine = tmp_path / "engine"
    engine.write_text(ENGINE_THAT_TELLS.replace("SAID", str(said)))
    engine.chmod(0o755)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ended = push(path=path, ENGINE=str(engine), **aws.environment | {"AWS_REGION": "eu-elsewhere-1"})
    assert (ended.returncode, ended.stdout) == (0, f"{ECR}@sha256:0123\n"), ended.stderr
    asked, login, password, sent = said.read_text().splitlines()
    assert asked == "inspect --type image ecs-batch-worker:1.2.3"
    assert login == f"login --username AWS --password-stdin {ECR.partition('/')[0]}"
    assert password == base64.b64decode(_token(aws)).decode().partition(":")[2]
    assert sent.endswith(f"ecs-batch-worker:1.2.3 docker://{ECR}:1.2.3")
    assert password not in asked + login + sent


def _token(aws: Aws) -> str:
    """Ask the local ECR what it hands out."""
    found: str = aws.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    return found


ENGINE_THAT_TELLS = """#!/bin/sh
echo "$@" >> SAID
[ "$1" != login ] || cat >> SAID
while [ $# -gt 0 ]; do [ "$1" != --digestfile ] || printf sha256:0123 > "$2"; shift; done
"""
"""An engine for a registry that nobody here can reach: it notes what it is told, and the password."""


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Run a registry of images; give its host and port."""
    settings = folder / "registry.yml"
    settings.write_text(REGISTRY.replace("FOLDER", str(folder / "images")))
    command = ["docker-registry", "serve", str(settings)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as running:
        assert running.stderr is not None
        said = next(line for line in running.stderr if "listening on" in line)
        yield said.partition("listening on ")[2].partition('"')[0]
        running.send_signal(signal.SIGTERM)
        running.stderr.read()


@pytest.mark.image
@pytest.mark.skipif(not IMAGE, reason="IMAGE names no image to push: make image-test IMAGE=name:tag, or .ci/image")
@pytest.mark.skipif(not shutil.which("docker-registry"), reason="there is no docker-registry to push to")
def test_push_prints_the_digest_that_the_registry_knows(tmp_path: Path) -> None:
    """The image is there under its version, and its printed name is that of what is there."""
    with registry(tmp_path) as host:
        repository = f"{host}/ecs-batch-worker"
        insecure = "" if "docker" in ENGINE else "--tls-verify=false"
        ended = push(ENGINE=ENGINE, IMAGE=IMAGE, REPOSITORY=repository, PUSH_ARGS=insecure)
        assert ended.returncode == 0, ended.stderr
        name, _, digest = ended.stdout.strip().partition("@")
        assert name == repository
        asked = Request(f"http://{host}/v2/ecs-batch-worker/manifests/1.2.3")
        asked.add_header("Accept", "application/vnd.docker.distribution.manifest.v2+json")
        with urlopen(asked) as manifest:
            assert manifest.headers["Docker-Content-Digest"] == digest
            layers = json.load(manifest)["layers"]
    print(f"pushed {sum(layer['size'] for layer in layers) / 1e6:.0f} MB")
