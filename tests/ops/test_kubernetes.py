"""The Kubernetes manifests run: each container's command with its own settings, user and rights.

There is no cluster here. What the kubelet does for a pod is done by hand: volumes are folders that
hold what the documented commands put into secrets and config maps, the root file system is
read-only, the user and the capabilities are the manifest's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness import prefork
from tests.harness.client import Client, get
from tests.harness.gate_process import GATE as PROGRAM
from tests.harness.http_origin import HttpOrigin
from tests.harness.machine import Machine
from tests.harness.namespaces import GATE, HOST, HOST_SIDE, InnerNetworks
from tests.harness.tools import require
from tests.harness.waiting import wait_for
from tests.ops.test_manifests import documents, transparent_gates

ROOT = Path(__file__).parents[2]
FILINGS = ROOT / "config" / "sample-filings.csv"

Pod = Callable[[dict[str, Any]], AbstractContextManager[None]]

# What stands in for kubectl: it keeps what it is given, as the kubelet would show it to a pod.
KUBECTL = """#!/bin/sh
kind=; name=
for word; do
    case $word in
        secret | configmap) kind=$word ;;
        -n | gate | create | generic | tls | namespace) ;;
        --*)
            mkdir -p "$CLUSTER/$kind/$name"
            value=${word#*=}
            case $word in
                --cert=*) cp "$value" "$CLUSTER/$kind/$name/tls.crt" ;;
                --key=*) cp "$value" "$CLUSTER/$kind/$name/tls.key" ;;
                --from-file=*=*) cp "${value#*=}" "$CLUSTER/$kind/$name/${value%%=*}" ;;
                --from-file=*)
                    if [ -d "$value" ]; then value=$value/.; fi
                    cp -r "$value" "$CLUSTER/$kind/$name/" ;;
            esac ;;
        *) name=$word ;;
    esac
done
"""


class Cluster:
    """Pods of the manifests on one machine."""

    def __init__(self, machine: Machine, folder: Path, namespace: str) -> None:
        self._machine = machine
        self._folder = folder
        self._namespace = namespace

    def make_secrets(self) -> None:
        """Run the commands of the page."""
        tools = self._folder / "bin"
        tools.mkdir()
        (tools / "kubectl").write_text(KUBECTL)
        (tools / "kubectl").chmod(0o755)
        page = (ROOT / "gate" / "docs" / "kubernetes.md").read_text()
        script = "\n".join(re.findall(r"^```sh\n(.*?)^```$", page, flags=re.M | re.S))
        with prefork.program_folder(PROGRAM) as programs:
            environ = {
                **os.environ,
                "PATH": f"{tools}:{programs}:{os.environ['PATH']}",
                "CLUSTER": str(self._folder),
            }
            subprocess.run(["bash", "-e", "-c", script], cwd=self._folder, env=environ, check=True)

    def _volumes(self, pod: dict[str, Any], user: int) -> dict[str, Path]:
        found = {}
        for volume in pod["volumes"]:
            name = volume["name"]
            if "secret" in volume:
                path = self._folder / "secret" / volume["secret"]["secretName"]
                _own(path, 0, user, volume["secret"]["defaultMode"])
            elif "configMap" in volume:
                path = self._folder / "configmap" / volume["configMap"]["name"]
                _own(path, 0, user, 0o644)
            else:
                path = self._folder / "volume" / f"{pod['volumes'].index(volume)}-{name}"
                path.mkdir(parents=True, exist_ok=True)
                if "hostPath" not in volume:  # fsGroup; not so for the node's folders
                    os.chown(path, 0, user)
                    path.chmod(0o2775)
            found[name] = path
        return found

    def command(self, pod: dict[str, Any], container: dict[str, Any]) -> list[str]:
        """Return the command line of one container."""
        context = {**pod["securityContext"], **container["securityContext"]}
        user, group = context["runAsUser"], pod["securityContext"]["fsGroup"]
        volumes = self._volumes(pod, group)
        binds = {m["mountPath"]: volumes[m["name"]] for m in container["volumeMounts"]}
        rights = [f"+{name.lower()}" for name in context["capabilities"].get("add", ())]
        assert context["capabilities"]["drop"] == ["ALL"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        return self._machine.pod(
            "/usr/bin/setpriv",
            f"--reuid={user}",
            f"--regid={group}",
            "--clear-groups",
            "--no-new-privs",
            "--inh-caps=-all",
            f"--bounding-set={','.join(['-all', *rights])}",
            *container.get("command", ["gate"]),
            *container.get("args", ()),
            binds=binds,
            environ={item["name"]: item["value"] for item in container.get("env", ())},
            namespace=self._namespace,
        )

    def start(self, workload: dict[str, Any], log: Path) -> subprocess.Popen[bytes]:
        """Run a pod's init containers, one after the other, then start its container."""
        pod = workload["spec"]["template"]["spec"]
        for container in pod["initContainers"]:
            done = subprocess.run(
                self.command(pod, container), capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (container["name"], done.stdout + done.stderr)
        with log.open("wb") as output:
            return subprocess.Popen(
                self.command(pod, pod["containers"][0]), stdout=output, stderr=output
            )

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the pods' network."""
        return subprocess.run(
            [require("ip"), "netns", "exec", self._namespace, *command],
            capture_output=True,
            text=True,
            check=False,
        )

    def curl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Ask from inside the network."""
        return self.inside(require("curl"), "-s", *arguments)

    def probe(self, workload: dict[str, Any], name: str) -> str:
        """Return the status that one of the container's probes gets."""
        container = workload["spec"]["template"]["spec"]["containers"][0]
        ask = container[f"{name}Probe"]["httpGet"]
        port = {port["name"]: port["containerPort"] for port in container["ports"]}[ask["port"]]
        url = f"{ask['scheme'].lower()}://127.0.0.1:{port}{ask['path']}"
        return self.curl("-k", "-o", "/dev/null", "-w", "%{http_code}", url).stdout

    def until_probed(
        self, workload: dict[str, Any], process: subprocess.Popen[bytes], log: Path
    ) -> None:
        """Wait until the pod is ready by its own probe."""

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            return self.probe(workload, "readiness") == "200"

        wait_for(is_ready, "the pod to be ready", 60)


def _own(path: Path, user: int, group: int, mode: int) -> None:
    for file in path.iterdir():
        os.chown(file, user, group)
        file.chmod(mode)


def manifest(file: str, kind: str) -> dict[str, Any]:
    return next(found for found in documents(file) if found["kind"] == kind)


def behind(interface: str) -> dict[str, Any]:
    """The gates in front of hosts, with the interface set as the patch asks for."""
    gates = transparent_gates()
    intercept = gates["spec"]["template"]["spec"]["initContainers"][1]
    (asked,) = (item for item in intercept["env"] if item["name"] == "HOST_SIDE")
    asked["value"] = interface
    return gates


def make_image(machine: Machine) -> None:
    """What the Dockerfile puts into the image, with this checkout's program in place of a wheel's.

    That a wheel installs and works is what the walk into production shows.
    """
    root = machine.root
    program = root / "opt" / "gate" / "bin"
    program.mkdir(parents=True)
    (program / "gate").symlink_to(ROOT / ".venv" / "bin" / "gate")
    for needed in (ROOT, Path(sys.executable).resolve()):
        for parent in needed.parents:  # of the overlay alone: any user is to reach it
            above = root / str(parent).lstrip("/")
            above.chmod(above.stat().st_mode | 0o755)
    for name, line in (
        ("passwd", "gate:x:10001:10001::/var/lib/gate:/usr/sbin/nologin"),
        ("group", "gate:x:10001:"),
        ("hosts", "127.0.0.1 localhost gate-registry.gate.svc"),
    ):
        file = root / "etc" / name
        file.write_text(f"{file.read_text()}{line}\n")


def write_config_maps(folder: Path) -> None:
    for file in ("registry.yaml", "gate.yaml"):
        found = manifest(file, "ConfigMap")
        path = folder / "configmap" / found["metadata"]["name"]
        path.mkdir(parents=True)
        for name, text in found["data"].items():
            (path / name).write_text(text)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """What this module keeps."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def networks() -> Iterator[InnerNetworks]:
    """The node's network in the middle, and hosts behind it."""
    with InnerNetworks() as networks:
        yield networks


@pytest.fixture(scope="module")
def cluster(folder: Path, networks: InnerNetworks) -> Iterator[Cluster]:
    """The image's program on a machine, the node's network, and the cluster's objects."""
    with Machine(folder / "image") as machine:
        make_image(machine)
        objects = folder / "cluster"
        objects.mkdir()
        write_config_maps(objects)
        found = Cluster(machine, objects, networks.gate)
        found.make_secrets()
        yield found


@pytest.fixture(scope="module")
def running(cluster: Cluster, folder: Path) -> Iterator[Pod]:
    """Start a pod's containers and wait until it is ready by its own probe; all end afterwards."""
    with ExitStack() as stack:

        @contextmanager
        def pod(workload: dict[str, Any]) -> Iterator[None]:
            log = folder / f"{len(list(folder.iterdir()))}.log"
            process = cluster.start(workload, log)
            try:
                cluster.until_probed(workload, process, log)
                yield
            finally:
                process.terminate()
                process.wait(60)
            assert "Traceback" not in log.read_text()

        registry = manifest("registry.yaml", "Deployment")
        stack.enter_context(pod(registry))
        done = cluster.inside(
            str(ROOT / ".venv/bin/gate"), "registry", "import", str(FILINGS),
            "--url", "https://127.0.0.1:9465",
            "--ca", str(folder / "cluster/certs/ca.pem"),
            "--token", f"@{folder / 'cluster/admin'}",
        )  # fmt: skip
        assert done.stdout.startswith("2 taken"), done.stdout + done.stderr
        yield pod


def test_registry_and_gate_run_as_their_manifests_say(cluster: Cluster, running: Pod) -> None:
    gates = manifest("gate.yaml", "DaemonSet")
    with running(gates):
        assert cluster.probe(gates, "startup") == cluster.probe(gates, "liveness") == "200"
        blocked = cluster.curl(
            "-o", "/dev/null", "-w", "%{http_code}",
            "-H", "Host: nobody-filed-this.cn", "http://127.0.0.1:8080/",
        )  # fmt: skip
        assert blocked.stdout == "302"
        metrics = cluster.curl("-k", "https://127.0.0.1:9464/metrics").stdout
        assert re.search(r"^gate_replica_entries 2(\.0)?$", metrics, flags=re.M), metrics[:2000]


def test_a_gate_stands_in_front_of_hosts_as_its_patch_says(
    cluster: Cluster, running: Pod, networks: InnerNetworks
) -> None:
    """On the same node: its state is what the gate that was dialled has left."""
    with networks.inside(networks.hosts):
        host = HttpOrigin("0.0.0.0", port=80)
    try:
        with running(behind(HOST_SIDE)):
            for name, status in (("www.example.com", 200), ("nobody-filed-this.cn", 302)):
                with networks.inside(networks.client), Client(80, host=HOST[4]) as client:
                    assert client.ask(get(name)).status == status
        assert [arrival.peer[0] for arrival in host.arrivals] == [GATE[4]]
        # The rules stay, and pass nothing on.
        with networks.inside(networks.client), pytest.raises(OSError, match=r"timed out"):
            Client(80, host=HOST[4], seconds=0.5)
    finally:
        host.close()
