"""The systemd unit and the Kubernetes manifests, by their own tools and against the gate."""

from __future__ import annotations

import re
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
KUBERNETES = CONFIG / "kubernetes"


@pytest.fixture(params=["gate", "gate-registry"])
def unit(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Each unit with a program that exists here in place of the gate's."""
    file = tmp_path / f"{request.param}.service"
    source = (CONFIG / "systemd" / file.name).read_text()
    file.write_text(source.replace("/opt/gate/bin/gate", "/bin/true"))
    return file


def test_systemd_understands_every_line_of_the_units(unit: Path) -> None:
    run = subprocess.run(
        [require("systemd-analyze"), "verify", str(unit)], capture_output=True, text=True
    )
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


@pytest.mark.parametrize("unit", ["gate"], indirect=True)
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


def test_units_leave_little_open(unit: Path) -> None:
    """systemd's exposure level, 0.0 to 10.0; an unhardened service has 9.6."""
    run = subprocess.run(
        [require("systemd-analyze"), "security", "--offline=true", "--threshold=20", str(unit)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("name", ["gate", "registry"])
def test_settings_beside_the_units_are_good(name: str) -> None:
    settings = load(CONFIG / "systemd" / f"{name}.yaml", {})
    folder = {"gate": "gate", "registry": "gate-registry"}[name]
    assert settings.state_dir == Path("/var/lib") / folder
    assert f"StateDirectory={folder}\n" in (CONFIG / "systemd" / f"{folder}.service").read_text()


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


def documents(file: str) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all((KUBERNETES / file).read_text()) if found]


ALL = [*documents("registry.yaml"), *documents("gate.yaml")]


@pytest.mark.parametrize(
    "document", ALL, ids=lambda document: f"{document['kind']}-{document['metadata']['name']}"
)
def test_manifests_fit_the_schema(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, "1.30", strict=True)


def merged(base: Any, patch: Any) -> Any:
    """What kubectl makes of a strategic merge patch, as far as ours uses it."""
    if isinstance(base, dict) and isinstance(patch, dict):
        kept = patch.get("$retainKeys")
        found = {key: value for key, value in base.items() if kept is None or key in kept}
        for key, value in patch.items():
            if value is None:
                found.pop(key, None)
            elif key != "$retainKeys":
                found[key] = merged(found[key], value) if key in found else value
        return found
    if isinstance(patch, list) and patch and patch[0] == {"$patch": "replace"}:
        return patch[1:]
    if isinstance(patch, list) and patch and isinstance(patch[0], dict) and "name" in patch[0]:
        changes = {item["name"]: item for item in patch}
        rest = [merged(item, changes.pop(item["name"], {})) for item in base]
        return [*rest, *changes.values()]
    return patch


def test_two_registries_are_a_patch_of_one() -> None:
    (one,) = (found for found in documents("registry.yaml") if found["kind"] == "Deployment")
    (patch,) = documents("registry-postgres.yaml")
    two = merged(one, patch)
    kubernetes_validate.validate(two, "1.30", strict=True)
    spec = two["spec"]
    pod = spec["template"]["spec"]
    assert spec["replicas"] == 2
    assert set(spec["strategy"]) == {"type", "rollingUpdate"}
    assert not any("persistentVolumeClaim" in volume for volume in pod["volumes"])
    before = one["spec"]["template"]["spec"]
    for role in ("initContainers", "containers"):
        assert [each["name"] for each in pod[role]] == [each["name"] for each in before[role]]
        for each in pod[role]:
            assert each["env"][0]["name"] == "GATE_REGISTRY__DATABASE"
            assert not any("registry.db" in word for word in each["args"])
            assert each["securityContext"]["readOnlyRootFilesystem"]


def transparent_gates() -> dict[str, Any]:
    """The gates in front of hosts, as patched."""
    (patch,) = documents("gate-transparent.yaml")
    gates: dict[str, Any] = merged(kind("DaemonSet"), patch)
    return gates


def test_transparent_gates_are_a_patch_of_those_that_are_dialled(tmp_path: Path) -> None:
    gates = transparent_gates()
    kubernetes_validate.validate(gates, "1.30", strict=True)
    pod = gates["spec"]["template"]["spec"]
    before = kind("DaemonSet")["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["initContainers"]] == ["state-folder", "intercept"]
    (container,), (dialled,) = pod["containers"], before["containers"]
    assert container["args"] == dialled["args"]
    assert container["volumeMounts"] == dialled["volumeMounts"]
    for each in (*pod["initContainers"], container):
        context = each["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"]["drop"] == ["ALL"]
    assert pod["initContainers"][1]["securityContext"]["capabilities"]["add"] == ["NET_ADMIN"]
    assert "NET_ADMIN" not in container["securityContext"]["capabilities"]["add"]

    file = tmp_path / "gate.yaml"
    file.write_text(kind("ConfigMap")["data"]["gate.yaml"])
    environs = [
        {item["name"]: item["value"] for item in each["env"]}
        for each in (container, pod["initContainers"][1])
    ]
    serving, intercepting = (
        load(file, {name: value for name, value in environ.items() if name != "HOST_SIDE"})
        for environ in environs
    )
    assert serving.listeners == intercepting.listeners
    assert {(one.kind, one.transparent) for one in serving.listeners} == {
        (kind, "tproxy") for kind in ("http", "tls", "quic")
    }
    assert serving.process.user == "gate"
    dockerfile = (CONFIG.parent / "Dockerfile").read_text()
    assert f"--uid {before['securityContext']['runAsUser']} --gid gate" in dockerfile
    assert "iproute2 nftables" in dockerfile
    declared = {(p["containerPort"], p.get("protocol", "TCP")) for p in container["ports"]}
    assert declared == {
        *((one.address.port, "UDP" if one.kind == "quic" else "TCP") for one in serving.listeners),
        (9464, "TCP"),
    }


def test_all_containers_run_one_image() -> None:
    pods = [
        found["spec"]["template"]["spec"] for found in ALL if "template" in found.get("spec", {})
    ]
    pods.append(transparent_gates()["spec"]["template"]["spec"])
    images = {c["image"] for pod in pods for c in (*pod["initContainers"], *pod["containers"])}
    assert len(images) == 1
    name = images.pop()
    for page in ("kubernetes.md", "../../README.md"):
        assert f"docker build -t {name} ." in (CONFIG.parent / "gate" / "docs" / page).read_text()


def test_everything_that_pods_refer_to_is_made_by_a_manifest_or_a_documented_command() -> None:
    made = {(found["kind"].lower(), found["metadata"]["name"]) for found in ALL}
    page = (CONFIG.parent / "gate" / "docs" / "kubernetes.md").read_text()
    made |= set(re.findall(r"create (secret|configmap) (?:tls |generic )?(\S+)", page))
    for found in ALL:
        for volume in found.get("spec", {}).get("template", {}).get("spec", {}).get("volumes", ()):
            if "secret" in volume:
                assert ("secret", volume["secret"]["secretName"]) in made
            elif "configMap" in volume:
                assert ("configmap", volume["configMap"]["name"]) in made
            elif "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("persistentvolumeclaim", claim) in made


def kind(name: str) -> dict[str, Any]:
    return next(found for found in documents("gate.yaml") if found["kind"] == name)


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
