"""The systemd unit and the Kubernetes manifests, by their own tools and against the gate."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gate.settings import load
from tests.harness.tools import require

CONFIG = Path(__file__).parents[2] / "config"
UNIT = CONFIG / "systemd" / "gate.service"
MANIFESTS = CONFIG / "kubernetes" / "gate.yaml"


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists here in place of the gate's."""
    file = tmp_path / "gate.service"
    file.write_text(UNIT.read_text().replace("/opt/gate/bin/gate", "/bin/true"))
    return file


def test_systemd_understands_every_line_of_the_unit(unit: Path) -> None:
    run = subprocess.run(
        [require("systemd-analyze"), "verify", str(unit)], capture_output=True, text=True
    )
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


@pytest.mark.parametrize("name", ["http", "tls"])
def test_systemd_understands_the_sockets_and_they_are_for_listeners(unit: Path, name: str) -> None:
    source = (CONFIG / "systemd" / f"gate-{name}.socket").read_text()
    (unit.parent / f"gate-{name}.socket").write_text(source)
    run = subprocess.run(
        [require("systemd-analyze"), "verify", str(unit.parent / f"gate-{name}.socket")],
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stdout + run.stderr) == (0, "")
    names = [listener.name for listener in load(None, {}).listeners]
    assert f"FileDescriptorName={name}\n" in source
    assert name in names


def test_unit_leaves_little_open(unit: Path) -> None:
    """systemd's exposure level, 0.0 to 10.0; an unhardened service has 9.6."""
    run = subprocess.run(
        [require("systemd-analyze"), "security", "--offline=true", "--threshold=20", str(unit)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout


def test_unit_permits_the_system_calls_of_the_data_plane() -> None:
    """Every call that the gate lives by is in the sets that the unit allows."""
    allowed = _calls("@system-service") - _calls("@privileged") - _calls("@resources")
    allowed |= {"setrlimit", "prlimit64"}
    lives_by = {
        "accept4", "bind", "close", "connect", "epoll_ctl", "epoll_wait", "fcntl", "fdatasync",
        "fork", "clone", "ftruncate", "getsockname", "ioctl", "listen", "mmap", "pipe2", "prctl",
        "recvfrom", "sendto", "setpgid", "setsockopt", "shutdown", "socket", "splice", "wait4",
        "rt_sigtimedwait", "kill", "munmap", "pwrite64", "msync",
    }  # fmt: skip
    assert lives_by - allowed == set()


def _calls(name: str) -> set[str]:
    """The system calls of a set, with those of the sets inside it."""
    run = subprocess.run(
        [require("systemd-analyze"), "syscall-filter", name],
        capture_output=True,
        text=True,
        check=True,
    )
    found: set[str] = set()
    for line in run.stdout.splitlines():
        word = line.strip()
        if word.startswith("@") and word != name:
            found |= _calls(word)
        elif word and not word.startswith(("#", "@")):
            found.add(word)
    return found


def documents() -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(MANIFESTS.read_text()) if document]


@pytest.mark.parametrize("document", documents(), ids=lambda document: str(document["kind"]))
def test_manifests_fit_the_schema(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, "1.30", strict=True)


def kind(name: str) -> dict[str, Any]:
    return next(document for document in documents() if document["kind"] == name)


def test_settings_in_the_config_map_are_good_and_on_the_declared_ports(tmp_path: Path) -> None:
    file = tmp_path / "gate.yaml"
    file.write_text(kind("ConfigMap")["data"]["gate.yaml"])
    settings = load(file, {})
    container = kind("DaemonSet")["spec"]["template"]["spec"]["containers"][0]
    declared = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert declared == {
        **{listener.name: listener.address.port for listener in settings.listeners},
        "admin": settings.admin.listen.port,
    }
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["state"] == str(settings.state_dir)


def test_pod_has_longer_to_end_than_a_drain_takes(tmp_path: Path) -> None:
    file = tmp_path / "gate.yaml"
    file.write_text(kind("ConfigMap")["data"]["gate.yaml"])
    process = load(file, {}).process
    pod = kind("DaemonSet")["spec"]["template"]["spec"]
    needed = process.drain_delay + process.drain_seconds
    assert pod["terminationGracePeriodSeconds"] > needed
    assert f"TimeoutStopSec={pod['terminationGracePeriodSeconds']}\n" in UNIT.read_text()


def test_container_is_unprivileged_and_its_file_system_is_not_written() -> None:
    pod = kind("DaemonSet")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    context = pod["containers"][0]["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    user = pod["securityContext"]["runAsUser"]
    assert f"USER {user}:" in (CONFIG.parent / "Dockerfile").read_text()


def test_pod_monitor_selects_the_gates_and_their_admin_port() -> None:
    monitor = yaml.safe_load((CONFIG / "kubernetes" / "podmonitor.yaml").read_text())
    template = kind("DaemonSet")["spec"]["template"]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= template["metadata"]["labels"].items()
    ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]} <= ports
