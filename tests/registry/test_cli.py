"""`gate registry …`, on the database and over HTTP alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import click.testing
import pytest

from gate.registry.cli import registry
from gate.registry.database import Database
from gate.registry.registry import LOCAL, Registry
from gate.registry.unfiled import UnfiledName, UnfiledReport
from tests.registry.process import RegistryProcess

Run = Callable[..., click.testing.Result]


def invoke(*args: str, env: dict[str, str] | None = None) -> click.testing.Result:
    """Run a command with nothing of this machine's environment."""
    clean = dict.fromkeys(
        ("GATE_CONFIG", "GATE_REGISTRY_DB", "GATE_REGISTRY_URL", "GATE_REGISTRY_TOKEN")
    )
    runner = click.testing.CliRunner(env=clean | (env or {}))
    result = runner.invoke(registry, args, catch_exceptions=False)
    assert isinstance(result, click.testing.Result)
    return result


@pytest.fixture(params=["database", "http"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Run]:
    """The commands with a registry to work on."""
    database = str(tmp_path / "registry.db")
    if request.param == "database":
        yield lambda *args: invoke(*args, env={"GATE_REGISTRY_DB": database})
        return
    process = RegistryProcess(tmp_path / "process", database)
    process.start()
    env = {
        "GATE_REGISTRY_URL": f"http://127.0.0.1:{process.port}",
        "GATE_REGISTRY_TOKEN": process.token,
    }
    try:
        yield lambda *args: invoke(*args, env=env)
    finally:
        process.kill()


def good(result: click.testing.Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


FILE = ("file", "--account", "a1", "--name", "某某公司", "--province", "鲁")


def test_a_filing_goes_through_its_life(run: Run) -> None:
    assert "application 1" in good(run(*FILE, "Example.CN"))
    assert "submitted" in good(run("applications"))
    assert "example.cn -> filed" in good(run("approve", "1", "--number", "鲁ICP备09090609号-2"))
    shown = json.loads(good(run("show", "example.cn", "--json")))
    assert (shown["status"], shown["licence"]) == ("filed", "鲁ICP备09090609号-2")
    assert "某某公司" in good(run("show", "example.cn"))
    more = ("--account", "a1", "--subject", "鲁ICP备09090609号", "--approve", "--json")
    done = json.loads(good(run("file", "second.cn", *more)))
    assert (done["licence"], done["revision"]) == ("鲁ICP备09090609号-3", 2)
    assert "second.cn" in good(run("show", "鲁ICP备09090609号"))
    good(run("change", "service", "second.cn", "--domain", "third.cn", "--name", "新站"))
    good(run("change", "subject", "鲁ICP备09090609号", "--name", "新公司"))
    good(run("suspend", "third.cn", "--reason", "违法内容"))
    good(run("resume", "third.cn"))
    good(run("cancel", "access", "third.cn"))
    good(run("access", "third.cn", "鲁ICP备09090609号-3", "--account", "a1"))
    good(run("cancel", "service", "third.cn"))
    assert "example.cn -> absent" in good(run("cancel", "subject", "鲁ICP备09090609号"))
    listed = [json.loads(line) for line in good(run("search", "--json")).splitlines()]
    assert [(item["domain"], item["status"]) for item in listed] == [
        ("example.cn", "absent"),
        ("second.cn", "absent"),
        ("third.cn", "absent"),
    ]


def test_a_refusal_is_told_in_both_languages_with_status_1(run: Run) -> None:
    good(run(*FILE, "a.cn", "--approve", "--number", "鲁ICP备09090609号-2"))
    result = run("file", "a.cn", "--account", "a2", "--name", "乙公司", "--province", "京")
    assert result.exit_code == 1
    assert "域名 a.cn 已备案，备案号为 鲁ICP备09090609号-2" in result.stderr
    assert "domain a.cn is filed already, under 鲁ICP备09090609号-2" in result.stderr
    assert "[domain_filed]" in result.stderr
    rejected = good(run(*FILE[:1], "b.cn", "--account", "a2", "--name", "乙", "--province", "京"))
    assert "application 2" in rejected
    good(run("reject", "2", "--reason", "材料不全"))
    assert "材料不全" in good(run("applications", "--state", "rejected"))


def test_a_database_of_another_provider_is_not_changed_in_the_wrong_name(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("domain,licence,subject\nb.cn,京ICP备00000001号-1,某某\n")
    own, wrong = (("--db", str(tmp_path / "r.db"), "--provider", name) for name in ("acme", "gate"))
    good(invoke(*FILE, "a.cn", "--approve", *own))
    for refused in (("suspend", "a.cn", "--reason", "x"), ("import", str(path))):
        result = invoke(*refused, *wrong)
        assert (result.exit_code, "[provider_differs]" in result.stderr) == (1, True)
        assert "acme" in result.stderr
    assert "agree" in good(invoke("verify", *own))
    good(invoke("suspend", "a.cn", "--reason", "x", *own))
    good(invoke("resume", "a.cn", *own))
    assert json.loads(good(invoke("show", "a.cn", "--json", *wrong)))["status"] == "filed"


def test_an_import_reports_the_refused_lines(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "域名,备案号,主体名称\na.cn,鲁ICP备09090609号-1,甲\ncn,鲁ICP备09090609号-2,甲\n"
        "b.cn,鲁ICP备0号-2,甲\n"
    )
    result = run("import", str(path))
    assert good(result) == "1 taken, 0 on record already, 2 refused\n"
    assert "line 3: 域名“cn”不能备案" in result.stderr
    assert "line 4: 备案号“鲁ICP备0号-2”格式不正确" in result.stderr
    report = tmp_path / "refused.csv"
    good(run("import", str(path), "--report", str(report)))
    assert [row.split(",")[:2] for row in report.read_text("utf-8-sig").splitlines()] == [
        ["line", "code"],
        ["3", "domain_invalid"],
        ["4", "licence_invalid"],
    ]
    state = json.loads(good(run("import", str(path), "--json")))
    assert (state["accepted"], state["unchanged"], state["refused"]) == (0, 1, 2)
    assert good(run("export")).splitlines()[1].startswith("a.cn,filed,鲁ICP备09090609号-1,甲")
    good(run("export", "--format", "ndjson", "--output", str(tmp_path / "out.ndjson")))
    assert json.loads((tmp_path / "out.ndjson").read_text())["domain"] == "a.cn"


def test_an_import_of_no_list_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("who,knows\n")
    result = run("import", str(path))
    assert result.exit_code == 1
    assert "unknown column 'who'" in result.stderr


def test_tokens_are_made_listed_and_ended(run: Run) -> None:
    made = run("token", "new", "ops", "--role", "reader", "--days", "3")
    token = good(made).strip()
    identity = token.split("_")[1]
    assert identity in made.stderr
    assert f"{identity}  reader" in good(run("token", "list"))
    assert token.split("_")[2] not in good(run("token", "list"))
    good(run("token", "revoke", identity))
    assert "revoked" in good(run("token", "list"))
    assert run("token", "revoke", identity).exit_code == 1


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (("show", "a.cn"), "which registry?"),
        (("show", "a.cn", "--url", "http://127.0.0.1:1"), "a token is needed"),
        (("show", "a.cn", "--url", "http://x", "--db", "x"), "either --url or --db"),
        (("show", "a.cn", "--url", "ftp://x", "--token", "t"), "is not a URL"),
        (("show", "a.cn", "--url", "http://127.0.0.1:1", "--token", "@/none"), "can't be read"),
        (("show", "a.cn", "--url", "http://127.0.0.1:1", "--token", "t"), "is it running?"),
        (("show", "a.cn", "--db", "mysql://x"), "mysql"),
        (("migrate", "--db", "/proc/none/x.db"), "/proc/none"),
        (("verify", "--url", "http://127.0.0.1:1", "--token", "t"), "give --db"),
        (("serve", "--config", "/none.yaml"), "no such file"),
        (("file", "a.cn", "--account", "a", "--db", "{db}"), "needs --name and --province"),
        (("import", "/none.csv", "--db", "{db}"), "does not exist"),
    ],
)
def test_what_can_not_be_done_is_one_clear_line(
    args: tuple[str, ...], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(*(arg.replace("{db}", str(tmp_path / "r.db")) for arg in args))
    assert result.exit_code in {1, 2}
    assert part in result.stderr
    assert "Traceback" not in result.stderr


def test_the_database_is_migrated_verified_and_begun_anew(tmp_path: Path) -> None:
    database = str(tmp_path / "registry.db")
    assert "revision 0" in good(invoke("migrate", "--db", database))
    good(invoke(*FILE, "a.cn", "--approve", "--db", database))
    assert "agree" in good(invoke("verify", "--db", database))
    assert "begins at revision 1" in good(invoke("renew-epoch", "--yes", "--db", database))
    opened = Database(database)
    with opened.write() as connection:
        connection.exec_driver_sql("UPDATE domains SET status = 'suspended'")
    opened.close()
    result = invoke("verify", "--db", database)
    assert result.exit_code == 1
    assert "a.cn is suspended" in result.stdout


def test_a_port_in_use_is_one_clear_line_with_status_2(tmp_path: Path) -> None:
    process = RegistryProcess(tmp_path / "process", str(tmp_path / "registry.db"))
    process.start()
    try:
        config = tmp_path / "gate.yaml"
        config.write_text(f"state_dir: {tmp_path}\nregistry:\n  listen: 127.0.0.1:{process.port}\n")
        result = invoke("serve", "--config", str(config))
        assert result.exit_code == 2
        assert f"can't listen on 127.0.0.1:{process.port}" in result.stderr
    finally:
        process.kill()


def test_the_registry_inside_a_gate_is_found_by_its_state_folder(tmp_path: Path) -> None:
    access = tmp_path / "registry" / "access.json"
    access.parent.mkdir()
    process = RegistryProcess(tmp_path / "process", str(tmp_path / "registry.db"))
    process.start()
    try:
        url = f"http://127.0.0.1:{process.port}"
        access.write_text(json.dumps({"url": url, "token": process.token}))
        good(invoke(*FILE, "a.cn", "--state-dir", str(tmp_path)))
    finally:
        process.kill()
    opened = Database(str(tmp_path / "registry.db"))
    assert Registry(opened).head().revision == 0
    opened.close()


def test_blocked_names_that_gates_reported_are_listed(run: Run, tmp_path: Path) -> None:
    assert good(run("unfiled", "--json")) == ""
    database = Database(str(tmp_path / "registry.db"))
    names = [
        UnfiledName(name=name, reason="unfiled", count=count, first_seen=100, last_seen=200)
        for name, count in (("a.cn", 3), ("xn--fiqs8s.cn", 2))
    ]
    Registry(database).report_unfiled(UnfiledReport(gate="g1", names=tuple(names)), actor=LOCAL)
    database.close()
    assert "中国.cn" in good(run("unfiled"))
    first, second = (json.loads(line) for line in good(run("unfiled", "--json")).splitlines())
    assert (first["name"], first["count"], second["display"]) == ("a.cn", 3, "中国.cn")
    assert good(run("unfiled", "--csv", "--limit", "1")).splitlines() == [
        "name,display,reason,count,first_seen,last_seen,gates",
        "a.cn,a.cn,unfiled,3,100,200,g1",
    ]
    assert good(run("unfiled", "--gate", "g9", "--json")) == ""
