"""The guides: their commands run, and the commands, metrics and settings that they name exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from gate.cli import main as command_line
from gate.control.metrics.catalogue import GATE_METRICS, WORKER_METRICS, Kind
from gate.settings import Settings
from tests.harness.guides import run_script, shell_blocks
from tests.harness.http_origin import HttpOrigin
from tests.harness.running import log_of, new_gate
from tests.harness.waiting import wait_for

ROOT = Path(__file__).parents[2]
GUIDES = [ROOT / "README.md", *sorted((ROOT / "gate" / "docs").glob("*.md"))]
CONFIGS = [
    *sorted((ROOT / "config" / "prometheus").glob("*.yml")),
    ROOT / "config" / "grafana" / "gate.json",
]
OPERATION = (ROOT / "gate" / "docs" / "operation.md").read_text(encoding="utf-8")


def commands_of(text: str) -> Iterator[str]:
    """Every `gate ...` in code spans, and every line of a code block that begins with it."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from re.findall(r"^gate (?:\"\$\([^\n]*\)\"|[^#\n|])+", block, re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`(gate [^`]+)`", prose)


def fault_of(command: str) -> str:
    """What is wrong with a command as it is written in a guide; "" for nothing."""
    plain = re.sub(r'"\$\(.*\)"', "VALUE", command.replace("\n", " "))
    words = shlex.split(plain, comments=True)[1:]
    found: click.Command = command_line
    context = click.Context(command_line)
    while words and isinstance(found, click.Group):
        name = words.pop(0)
        below = found.get_command(context, name)
        if below is None:
            return f"there is no command {name!r}"
        found = below
    known = {text for parameter in found.params for text in (*parameter.opts, "--help", "-h")}
    options = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    unknown = [option for option in options if option not in known]
    return f"{unknown} is no option of it" if unknown else ""


def written_commands() -> list[tuple[str, str]]:
    return [
        (guide.name, command)
        for guide in GUIDES
        if guide.name != "commands.md"  # written from the commands themselves
        for command in sorted(set(commands_of(guide.read_text(encoding="utf-8"))))
        if not command.startswith("gate serve (")  # the picture of the processes
    ]


@pytest.mark.parametrize(("guide", "command"), written_commands())
def test_a_command_in_a_guide_exists_with_its_options(guide: str, command: str) -> None:
    assert fault_of(command) == ""


def test_a_command_that_does_not_exist_would_be_found() -> None:
    assert fault_of("gate import --replace FILE") == "['--replace'] is no option of it"
    assert fault_of("gate export") == "there is no command 'export'"


def names_of_metrics() -> set[str]:
    known = set()
    for metric in (*WORKER_METRICS, *GATE_METRICS):
        known.add(metric.name)
        if metric.kind is Kind.HISTOGRAM:
            known |= {f"{metric.name}_{end}" for end in ("bucket", "sum", "count")}
    return known


@pytest.mark.parametrize("path", [*GUIDES, *CONFIGS], ids=lambda path: path.name)
def test_a_metric_in_a_guide_or_a_rule_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w/.{-])(?<!table inet )gate_[a-z0-9_]+[a-z0-9]", text))
    registry = {name for name in named if name.startswith("gate_registry_")}
    assert named - registry - names_of_metrics() == set()


def keys(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Every key of the settings, with those of optional sections."""
    for name, info in model.model_fields.items():
        yield above + name
        for part in (info.annotation, *getattr(info.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from keys(part, f"{above}{name}.")


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_a_setting_in_a_guide_exists(path: Path) -> None:
    sections = "|".join(Settings.model_fields)
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(rf"`((?:{sections})(?:\.[a-z_]+)+)(?:: \w+)?`", text))
    files = {
        name for name in named if re.search(r"\.(md|json|yaml|py|db|sock|csv|token|pem)$", name)
    }
    assert named - files - set(keys(Settings)) == set()


def test_the_operation_guides_commands_run_in_their_order(tmp_path: Path) -> None:
    origin = HttpOrigin()
    gate = new_gate(tmp_path, origin.address)
    (tmp_path / "filed.csv").write_text("domain\nexample.cn\n")

    def run(*scripts: str) -> str:
        text = "\n".join((setting, *scripts)).replace("/etc/gate/gate.yaml", str(gate.config))
        return run_script(text, tmp_path)

    setting, before, running, upgrade = shell_blocks(OPERATION)
    assert "www.example.cn" in run(before)
    gate.start()
    try:
        shown = run(running)
        assert "example.org: no longer exempt" in shown
        assert shown.endswith("reloaded\n")
        wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready", 20)
        assert "its log says what comes of it" in run(upgrade)
        wait_for(lambda: "upgraded:" in log_of(gate), "the upgrade", 30)
        wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready", 30)
    finally:
        assert gate.stop() == 0
        origin.close()
