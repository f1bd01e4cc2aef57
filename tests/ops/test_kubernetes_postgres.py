"""Two registries on one PostgreSQL, as the patch for that says, each on a node of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.harness.machine import Machine
from tests.harness.namespaces import InnerNetworks
from tests.harness.postgres import running_server
from tests.ops.test_kubernetes import (
    FILINGS,
    ROOT,
    Cluster,
    make_image,
    manifest,
    write_config_maps,
)
from tests.ops.test_manifests import documents, merged

NODES = ("10.77.1.0/24", "10.77.2.0/24", "127.0.0.0/8")
"""The nodes' networks."""
PAGE = (ROOT / "gate" / "docs" / "kubernetes.md").read_text()


def patched(url: str) -> dict[str, Any]:
    """The patched Deployment; the kubelet puts in what is in the secret that it names."""
    (patch,) = documents("registry-postgres.yaml")
    together = merged(manifest("registry.yaml", "Deployment"), patch)
    workload: dict[str, Any] = json.loads(json.dumps(together))  # YAML's anchors: parts are shared
    pod = workload["spec"]["template"]["spec"]
    for container in (*pod["initContainers"], *pod["containers"]):
        (variable,) = container["env"]
        secret = variable.pop("valueFrom")["secretKeyRef"]
        literal = f"generic {secret['name']} --from-literal={secret['key']}=postgresql://"
        assert literal in PAGE, "the page makes no such secret"
        variable["value"] = url
        place = f"$({variable['name']})"
        container["args"] = [word.replace(place, url) for word in container["args"]]
    return workload


class Node:
    """A node with one of the two pods."""

    def __init__(self, cluster: Cluster, workload: dict[str, Any], log: Path) -> None:
        self._cluster = cluster
        self._workload = workload
        self.process = cluster.start(workload, log)
        cluster.until_probed(workload, self.process, log)

    def registry(self, folder: Path, *command: str) -> str:
        """What a command of the registry's prints."""
        done = self._cluster.inside(
            str(ROOT / ".venv/bin/gate"), "registry", *command,
            "--url", "https://127.0.0.1:9465",
            "--ca", str(folder / "certs/ca.pem"),
            "--token", f"@{folder / 'admin'}",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def die(self) -> None:
        """End as a node does that loses its power."""
        container = self.process.pid
        inside = Path(f"/proc/{container}/task/{container}/children").read_text().split()
        assert inside
        for pid in inside:  # the first process inside, and all others with it
            os.kill(int(pid), signal.SIGKILL)
        self.process.wait(60)

    def answers(self) -> str:
        """The status of the readiness probe; 000 for none."""
        return self._cluster.probe(self._workload, "readiness")

    def stop(self) -> None:
        """End as a pod does that is to go."""
        self.process.terminate()
        self.process.wait(60)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Node, Node, Path]]:
    """Both pods, and the folder of the secrets."""
    with ExitStack() as stack:
        networks = stack.enter_context(InnerNetworks())
        with networks.inside(networks.gate):
            server = stack.enter_context(running_server(NODES))
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        machine = stack.enter_context(Machine(place / "image"))
        make_image(machine)
        objects = place / "cluster"
        objects.mkdir()
        write_config_maps(objects)
        first = Cluster(machine, objects, networks.gate)
        first.make_secrets()
        (key,) = re.findall(r"^(head -c 32 .*>)keys/console.key ", PAGE, flags=re.M)
        secret = objects / "secret" / "gate-registry-keys"
        subprocess.run(["sh", "-c", f"{key}console.key"], cwd=secret, check=True)
        other = shutil.copytree(objects, place / "other")
        second = Cluster(machine, other, networks.client)
        database = server.new_database().partition("?")[0].rpartition("/")[2]
        nodes: list[Node] = []
        for cluster, address in ((first, "127.0.0.1"), (second, "10.77.1.1")):
            workload = patched(f"postgresql://gate@{address}/{database}")
            nodes.append(Node(cluster, workload, place / f"{len(nodes)}.log"))
            stack.callback(nodes[-1].stop)
        yield nodes[0], nodes[1], objects
        logs = "".join((place / f"{number}.log").read_text() for number in range(2))
        assert "Traceback" not in logs


@pytest.mark.long
def test_both_have_the_same_filings_and_one_goes_on_without_the_other(
    two: tuple[Node, Node, Path],
) -> None:
    first, second, folder = two
    assert first.registry(folder, "import", str(FILINGS)).startswith("2 taken")
    assert json.loads(second.registry(folder, "show", "www.example.com", "--json"))
    cancel = ("cancel", "service", "example.com", "--reason", "a test", "--yes")
    assert "example.com -> absent" in second.registry(folder, *cancel)
    assert "absent" in first.registry(folder, "show", "example.com")
    first.die()
    assert first.answers() == "000"
    file = ("file", "example.org", "--account", "a1", "--name", "某某", "--province", "京")
    said = second.registry(folder, *file, "--approve", "--generate")
    assert "example.org -> filed" in said
