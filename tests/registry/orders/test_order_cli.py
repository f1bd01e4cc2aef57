"""`gate registry order …`, on a database and over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gate.cli.registry import registry as command
from gate.registry.orders.rule_texts import FOLDER
from tests.harness.registry_process import RegistryProcess
from tests.registry.orders.steps import codes_in

Run = Callable[..., Result]


@pytest.fixture(params=["database", pytest.param("http", marks=pytest.mark.programs)])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Run]:
    """The command, on each sort of target."""
    database = str(tmp_path / "registry.db")
    process = RegistryProcess(tmp_path / "process", {"database": database})
    env = {"GATE_REGISTRY_DB": database}
    if request.param == "http":
        process.start()
        env = {
            "GATE_REGISTRY_URL": f"http://127.0.0.1:{process.port}",
            "GATE_REGISTRY_TOKEN": process.admin,
        }

    def run(*args: str) -> Result:
        return CliRunner().invoke(command, ["order", *args], env=env)

    yield run
    process.kill()


def good(result: Result) -> str:
    """What a command printed that must succeed."""
    assert result.exit_code == 0, result.output
    return result.output


NEW = (
    *("new", "dnspod.cn", "--account", "a1", "--name", "某某网络公司", "--province", "鲁"),
    *("--certificate", "91370000000000001X"),
    *("--principal", "张三:13800000000", "--service", "某某官方商城"),
)


def test_from_draft_to_done(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    assert "首次备案" in good(run(*NEW))
    assert "初审" in good(run("submit", "1"))
    out = good(run("return", "1", "--reason", "请修改", "--fault", "items.0.name: 不符 -> 商城"))
    assert "items.0.name: 不符  -> 商城" in out
    good(run("submit", "1"))
    assert "短信核验" in good(run("pass", "1"))
    assert run("verify", "1").exit_code == 2
    assert "管局审核" in good(run("verify", "1", "--reported", "verified"))
    without = run("approve", "1")
    assert (without.exit_code, "licences_required" in without.output) == (1, True)
    both = run("approve", "1", "--generate", "--number", "鲁ICP备09090609号-2")
    assert (both.exit_code, "give --number or --generate" in both.output) == (2, True)
    out = good(run("approve", "1", "--number", "鲁ICP备09090609号-2"))
    assert "完成 (done)" in out
    assert "鲁ICP备09090609号-2" in out
    assert "dnspod.cn" in good(run("list", "--state", "done"))
    assert good(run("list", "--open", "--json")) == ""
    lines = good(run("history", "1")).splitlines()
    assert len(lines) == 8
    assert "请修改" in lines[2]
    (shown,) = good(run("show", "1", "--json")).splitlines()
    assert json.loads(shown)["revision"] == 1


def test_waiting_for_gates_of_which_none_is_known_is_no_success(run: Run) -> None:
    good(run(*NEW))
    for args in (
        ("submit", "1"),
        ("pass", "1"),
        ("verify", "1", "--person", "1", "--reported", "verified"),
    ):
        good(run(*args))
    result = run("approve", "1", "--generate", "--wait", "0.3")
    assert result.exit_code != 0
    assert "in force on 0 of 0 gates" in result.output
    assert "none is known" in result.output
    assert "完成" in good(run("show", "1"))


@pytest.mark.parametrize(
    "args",
    [
        ("list", "--account", "\udcff"),
        ("show", "1", "--token", "\udcff"),
        ("return", "1", "--reason", "\udcff"),
        ("approve", "1", "--number", "鲁ICP备09090609号-2", "--number", "\udcff"),
        (*NEW[:1], "\udcff.cn", *NEW[2:]),
    ],
)
def test_bytes_that_are_no_text_are_refused(run: Run, args: tuple[str, ...]) -> None:
    result = run(*args)
    assert (result.exit_code, result.exception.__class__) == (2, SystemExit)
    assert "is not UTF-8" in result.output


def test_codes_come_by_the_log(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    good(run(*NEW))
    good(run("submit", "1"))
    good(run("pass", "1"))
    codes = codes_in(caplog.text)
    if not codes:  # the service has its own log
        return
    wrong = f"{(int(codes[0]) + 1) % 10**6:06}"
    refused = run("verify", "1", "--code", wrong)
    assert (refused.exit_code, "code_wrong" in refused.output) == (1, True)
    assert "管局审核" in good(run("verify", "1", "--code", codes[0]))


def test_what_is_shown_may_be_edited_and_given_back(run: Run, tmp_path: Path) -> None:
    good(run(*NEW))
    path = tmp_path / "order.json"
    shown = json.loads(good(run("show", "1", "--json")))
    shown["entry"]["items"][0]["name"] = "另一个商城"
    path.write_text(json.dumps(shown), "utf-8")
    found = json.loads(good(run("update", "1", "--from", str(path), "--json")))
    assert found["entry"]["items"][0]["name"] == "另一个商城"
    assert found["entry"]["subject"]["principal"]["phone"] == "138****00"
    good(run("abandon", "1"))
    hidden = run("new", "--account", "a1", "--from", str(path))
    assert hidden.exit_code == 1
    assert "subject.certificate is not valid" in hidden.output
    assert "a part of it is hidden" in hidden.output


def test_rules_are_checked_and_explained(tmp_path: Path) -> None:
    env = {"GATE_REGISTRY_DB": str(tmp_path / "registry.db")}

    def run(*args: str) -> Result:
        return CliRunner().invoke(command, args, env=env)

    good(run("migrate"))
    good(run("order", *NEW[:-1], "商城"))
    checked = run("rules", "check", "1")
    assert (checked.exit_code, "site_name_short" in checked.output) == (1, True)
    assert "至少" in good(run("rules", "explain", "site_name_short"))
    assert "湖北省" in good(run("rules", "explain", "湖北"))
    assert run("rules", "explain", "nothing").exit_code == 1
    good(run("rules", "replay", str(tmp_path)))
    changed = tmp_path / "鲁.yaml"
    changed.write_text((FOLDER / "鲁.yaml").read_text("utf-8") + "order_limit: {value: 1}\n")
    good(run("rules", "replay", str(tmp_path)))
    (tmp_path / "京.yaml").write_text("province: 鲁")
    assert "can't be used" in run("rules", "replay", str(tmp_path)).output


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (("show", "7"), 1, "no order with number 7"),
        (("submit", "7"), 1, "order_unknown"),
        (("new", "com.cn", "--account", "a1"), 1, "公共后缀"),
        (("new", "a.cn", "--account", "a1", "--principal", "张三"), 2, "NAME:TELEPHONE"),
        (("new", "--account", "a1", "--from", "nothing.json"), 1, "can't be read"),
        (("verify", "1", "--code", "12"), 1, "code"),
    ],
)
def test_a_refusal_says_what_is_wrong(
    run: Run, args: tuple[str, ...], status: int, says: str
) -> None:
    result = run(*args)
    assert (result.exit_code, says in result.output) == (status, True), result.output
