"""Routes of a file, changed while the gate runs, by hand and by the admin API: traffic follows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.harness import filings
from tests.harness.client import Client, get
from tests.harness.gate_process import Gate, listener, run_gate
from tests.harness.guides import run_script, shell_blocks
from tests.harness.http_origin import HttpOrigin
from tests.harness.operating import ask, change, command, token_of
from tests.harness.planes import Plane
from tests.harness.stage import fresh_path, prepare_replica
from tests.harness.waiting import wait_for

NAME = f"www.{filings.FILED}"


OF_THE_SETTINGS = 510
"""Routes of the settings, each to an address of its own."""

Origins = tuple[HttpOrigin, HttpOrigin]


@pytest.fixture(scope="module")
def origins() -> Iterator[Origins]:
    with closing(HttpOrigin()) as one, closing(HttpOrigin()) as other:
        yield one, other


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, origins: Origins, plane: Plane
) -> Iterator[Gate]:
    folder = tmp_path_factory.mktemp("gate")
    prepare_replica(folder / "replica")
    routes = folder / "routes"
    routes.touch()
    settings = {
        "workers": 2,
        "process": {"drain_seconds": 0},
        "listeners": [listener("http", "http")],
        "upstreams": {
            "routes_file": str(routes),
            "routes": [
                {
                    "match": f"n{number}.elsewhere.cn",
                    "upstream": {"http": [f"10.255.{number >> 8}.{number & 255}:80"]},
                }
                for number in range(OF_THE_SETTINGS)
            ]
            + [{"match": ".whole.cn", "upstream": {"http": ["10.255.0.1:80"]}}],
        },
    }
    gate = Gate(folder, settings, plane=plane)
    gate.start()
    try:
        yield gate
    finally:
        gate.stop()


@pytest.fixture
def gate(running: Gate, origins: Origins) -> Gate:
    """The gate, with a route to the first origin in its file alone."""
    route = f"{NAME} http={origins[0].address}\n"
    if file_of(running) != route:  # as most tests leave it: a gate need not find it anew
        put(running, route)
    wait_for(lambda: always(running, origins, (200, 0)), "the first origin")
    return running


def status_and_origin(gate: Gate, origins: Origins) -> tuple[int, int | None]:
    """What a request for the name gets, and which of the origins has seen it."""
    path = fresh_path()
    with Client(gate.ports["http"]) as client:
        status = client.ask(get(NAME, path)).status
    return status, next((n for n, origin in enumerate(origins) if origin.about(path)), None)


def put(gate: Gate, text: str) -> None:
    new = gate.directory / "routes.new"
    new.write_text(text)
    new.replace(gate.directory / "routes")


def always(gate: Gate, origins: Origins, expected: tuple[int, int | None]) -> bool:
    """Whether each worker gives that status, and has asked that origin."""
    return all(status_and_origin(gate, origins) == expected for _ in range(8))


def file_of(gate: Gate) -> str:
    return (gate.directory / "routes").read_text()


def test_traffic_follows_the_file_without_a_reload(gate: Gate, origins: Origins) -> None:
    workers = gate.workers()
    put(gate, f".{filings.FILED} http={origins[1].address}\n")
    wait_for(lambda: always(gate, origins, (200, 1)), "the other origin")
    put(gate, f"{NAME} http=nonsense\n")
    wait_for(lambda: "line 1: 'nonsense' is not ADDRESS:PORT" in gate.log.read_text(), "a line")
    assert always(gate, origins, (200, 1))
    wait_for(lambda: gate.total("gate_routes_behind") == 2, "both workers to say so")
    told = run_gate("config", "check", "--config", str(gate.config), check=False)
    assert told.returncode == 2
    assert "routes:1: upstreams.routes_file: 'nonsense' is not ADDRESS:PORT" in told.stderr
    put(gate, "")
    wait_for(lambda: always(gate, origins, (502, None)), "no origin any more")
    wait_for(lambda: gate.total("gate_routes_behind") == 0, "the file to be good again")
    assert gate.workers() == workers


def test_metrics_have_five_hundred_addresses_and_a_series_for_the_others(
    gate: Gate, origins: Origins
) -> None:
    found = gate.by_label("gate_upstream_connects_total", "address")
    addresses = {label for label in found if label[0].isdigit()}
    assert len(addresses) == 500
    assert found.keys() - addresses == {"others", "routes_file"}
    assert found["routes_file"] > 0
    resting = gate.by_label("gate_upstream_resting", "address")
    assert len(resting) == 501


def test_a_route_that_is_set_is_in_force_in_every_worker_when_that_is_answered(
    gate: Gate, origins: Origins
) -> None:
    workers, (first, second) = gate.workers(), origins
    put(gate, f"# Of the shop.\n{NAME} http={first.address}  # moved in May\n")
    path = f"/v1/routes/{NAME}"
    done = change(gate, "PUT", path, {"http": [second.address], "reason": "a move"})
    assert always(gate, origins, (200, 1))
    assert (done["match"], done["http"], done["line"]) == (NAME, [second.address], 2)
    assert file_of(gate) == f"# Of the shop.\n{NAME} http={second.address}  # moved in May\n"
    # A new one stands at the end; the nearest counts.
    above = change(gate, "PUT", f"/v1/routes/.{filings.FILED}", {"http": [first.address]})
    assert above["line"] == 3
    listed = ask(gate, "GET", f"/v1/routes?domain={filings.FILED}").fields
    assert [item["match"] for item in listed["items"]] == [NAME, f".{filings.FILED}"]
    assert ask(gate, "GET", path).fields == done
    change(gate, "DELETE", f"{path}?reason=done")
    assert always(gate, origins, (200, 0))
    assert ask(gate, "GET", f"/v1/routes/.{filings.FILED}").fields["line"] == 2
    change(gate, "DELETE", f"/v1/routes/.{filings.FILED}")
    assert always(gate, origins, (502, None))
    assert file_of(gate) == "# Of the shop.\n"
    assert gate.workers() == workers
    audited = [json.loads(line) for line in (gate.directory / "audit.jsonl").open()]
    assert [(entry["action"], entry["target"]) for entry in audited[-4:]] == [
        ("set route", NAME),
        ("set route", f".{filings.FILED}"),
        ("remove route", NAME),
        ("remove route", f".{filings.FILED}"),
    ]
    assert audited[-4]["detail"]["reason"] == "a move"
    assert audited[-4]["detail"]["pool"] == f"http={second.address}"


def test_a_whole_new_set_is_in_force_when_that_is_answered_and_outlives_a_reload(
    gate: Gate, origins: Origins
) -> None:
    text = f"# all of them\n*.{filings.FILED} http={origins[1].address}\nb.cn tls=10.0.0.1:443\n"
    headers = {"Content-Type": "text/plain"}

    def send(body: bytes, query: str = "") -> Any:
        token = token_of(gate)
        return ask(gate, "PUT", f"/v1/routes{query}", body, token=token, headers=headers)

    before = file_of(gate)
    looked = send(text.encode(), "?dry_run=true").fields
    assert (looked["added"], looked["changed"], looked["removed"], looked["total"]) == (2, 0, 1, 2)
    assert file_of(gate) == before
    assert send(text.encode()).fields == looked
    assert always(gate, origins, (200, 1))
    assert file_of(gate) == text
    for body, why in (
        (b"a.cn http=10.0.0.1:80\na.cn http=nonsense", "line 2: 'nonsense' is not ADDRESS:PORT"),
        (b"a.cn http=10.0.0.1:80\n\xff", "line 2: it is not UTF-8"),
    ):
        refused = send(body)
        assert (refused.status, refused.fields["type"].rpartition(":")[2]) == (
            422,
            "routes_invalid",
        )
        assert why in refused.fields["detail"]
        assert file_of(gate) == text
    assert command(gate, "reload").returncode == 0
    assert always(gate, origins, (200, 1))
    change(gate, "PUT", f"/v1/routes/{NAME}", {"http": [origins[0].address]})
    assert always(gate, origins, (200, 0))


@pytest.mark.parametrize(
    ("method", "match", "body", "status", "code", "why"),
    [
        ("PUT", "a.cn", {}, 422, "field_invalid", "no address"),
        ("PUT", "a.cn", {"http": ["10.0.0.1"]}, 422, "field_invalid", "'10.0.0.1' is not ADDRESS"),
        ("PUT", "a.cn", {"tls": ["o.cn:443"]}, 422, "field_invalid", "IPv4 or IPv6 address"),
        ("PUT", "a.cn", {"http": ["1.1.1.1:1 tls=1.1.1.1:1"]}, 422, "field_invalid", "http: "),
        ("PUT", "a.cn", {"http": ["1.1.1.1:1#"]}, 422, "field_invalid", "is not ADDRESS:PORT"),
        (
            "PUT",
            "a.cn",
            {"http": ["1.1.1.1:0"]},
            422,
            "field_invalid",
            "'1.1.1.1:0' has the port 0",
        ),
        ("PUT", "a.cn", {"tls": ["[fe80::1%no]:1"]}, 422, "field_invalid", "no network interface"),
        ("PUT", "a.cn:80", {"http": ["1.1.1.1:1"]}, 422, "match_invalid", "has a port"),
        ("PUT", "n7.elsewhere.cn", {"http": ["1.1.1.1:1"]}, 409, "route_shadowed", "routes[7]"),
        ("PUT", "whole.cn", {"http": ["1.1.1.1:1"]}, 409, "route_shadowed", ".whole.cn, is for"),
        ("PUT", "*.whole.cn", {"http": ["1.1.1.1:1"]}, 409, "route_shadowed", ".whole.cn, is for"),
        ("GET", "a.cn", None, 404, "route_unknown", "no route for exactly a.cn"),
        ("DELETE", "a.cn", None, 404, "route_unknown", "gate routes list"),
    ],
)
def test_what_is_no_route_is_refused_and_changes_nothing(
    gate: Gate, method: str, match: str, body: Any, status: int, code: str, why: str
) -> None:
    before = file_of(gate)
    reply = ask(gate, method, f"/v1/routes/{match}", body, token=token_of(gate))
    assert (reply.status, reply.fields["type"].rpartition(":")[2]) == (status, code), reply.text
    assert why in reply.fields["detail"]
    assert file_of(gate) == before


def test_a_file_that_is_broken_by_hand_is_told_and_left_alone(gate: Gate) -> None:
    broken = f"{NAME} http=nonsense\n"
    put(gate, broken)
    body = {"http": ["10.0.0.1:80"]}
    reply = ask(gate, "PUT", "/v1/routes/a.cn", body, token=token_of(gate))
    assert reply.status == 409
    assert "line 1: 'nonsense' is not ADDRESS:PORT" in reply.fields["detail"]
    assert "mend the file first" in reply.fields["detail"]
    assert file_of(gate) == broken


def test_routes_are_changed_with_the_token_alone(gate: Gate) -> None:
    reply = ask(gate, "PUT", "/v1/routes/a.cn", {"http": ["10.0.0.1:80"]})
    assert reply.status == 401


def test_commands_list_set_remove_and_import_routes(gate: Gate, origins: Origins) -> None:
    first, second = (origin.address for origin in origins)
    done = command(gate, "routes", "set", NAME, "--http", second, "--reason", "a move")
    assert (done.stdout, done.stderr) == (
        f"{NAME} http={second}; in force in every worker\n",
        "",
    )
    assert always(gate, origins, (200, 1))
    assert command(gate, "routes", "list").stdout == f"{NAME} http={second}\n"
    new = gate.directory / "new.routes"
    new.write_text(f".{filings.FILED} http={first}\n")
    waits = command(gate, "routes", "import", str(new))
    assert waits.returncode == 3
    assert "1 routes are new, 0 lead elsewhere, 1 go, 1 in all" in waits.stderr
    assert always(gate, origins, (200, 1))
    assert command(gate, "routes", "import", str(new), "--yes").returncode == 0
    assert always(gate, origins, (200, 0))
    assert command(gate, "routes", "remove", f".{filings.FILED}").returncode == 0
    assert always(gate, origins, (502, None))
    gone = command(gate, "routes", "remove", f".{filings.FILED}")
    assert gone.returncode == 2
    assert "no route for exactly" in gone.stderr


def test_the_commands_of_the_guide_run_in_their_order(
    gate: Gate, origins: Origins, tmp_path: Path
) -> None:
    guide = (Path(__file__).parents[2] / "gate" / "docs" / "hosts.md").read_text(encoding="utf-8")
    script = shell_blocks(guide)[-1]
    for written, here in (
        ("/etc/gate/gate.yaml", str(gate.config)),
        ("/var/backups/", f"{tmp_path}/"),
        ("www.example.cn", NAME),
        ("10.0.0.10:80", origins[1].address),
    ):
        script = script.replace(written, here)
    told = run_script(script, tmp_path).splitlines()
    assert told[1] == f"{NAME}: removed; in force in every worker"
    assert told[2].endswith(
        "1 routes are new, 0 lead elsewhere, 0 go, 1 in all; in force in every worker"
    )
    assert always(gate, origins, (200, 1))


def test_check_says_which_route_of_the_file_a_name_takes(gate: Gate, origins: Origins) -> None:
    told = run_gate("check", NAME, "--config", str(gate.config)).stdout
    assert f"route    {NAME}\n" in told
    assert origins[0].address in told
