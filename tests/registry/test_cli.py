"""`gate registry …`, on the database and over HTTP alike."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import click.testing
import pytest
from sqlalchemy import inspect

from gate.cli.registry import registry
from gate.registry.commands import Role
from gate.registry.database import Database
from gate.registry.queries import find_audit
from gate.registry.registry import LOCAL, Registry
from gate.registry.tokens import authenticate
from gate.registry.unfiled import UnfiledDestination, UnfiledName, UnfiledReport
from tests.harness.new_registry import migrated
from tests.harness.ports import free_port
from tests.harness.postgres import PostgresServer
from tests.harness.registry_process import RegistryProcess

Run = Callable[..., click.testing.Result]


def invoke(*args: str, env: dict[str, str] | None = None) -> click.testing.Result:
    """Run a command with nothing of this machine's environment."""
    clean: dict[str, str | None] = dict.fromkeys(
        ("GATE_CONFIG", "GATE_REGISTRY_DB", "GATE_REGISTRY_URL", "GATE_REGISTRY_TOKEN")
    )
    clean["GATE_REGISTRY_PROFILE"] = "/nonexistent/registry.json"
    runner = click.testing.CliRunner(env=clean | (env or {}))
    result = runner.invoke(registry, args, catch_exceptions=False)
    assert isinstance(result, click.testing.Result)
    return result


@pytest.fixture(params=["database", pytest.param("http", marks=pytest.mark.programs)])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Run]:
    """The commands with a registry to work on."""
    database = str(tmp_path / "registry.db")
    if request.param == "database":
        migrated(database).close()
        yield lambda *args: invoke(*args, env={"GATE_REGISTRY_DB": database})
        return
    process = RegistryProcess(tmp_path / "process", {"database": database})
    process.start()
    env = {
        "GATE_REGISTRY_URL": f"http://127.0.0.1:{process.port}",
        "GATE_REGISTRY_TOKEN": process.admin,
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
    more = ("--account", "a1", "--subject", "鲁ICP备09090609号")
    made_up = ("--approve", "--generate", "--json")
    done = json.loads(good(run("file", "second.cn", *more, *made_up)))
    assert (done["licence"], done["revision"]) == ("鲁ICP备09090609号-3", 2)
    assert "second.cn" in good(run("show", "鲁ICP备09090609号"))
    good(run("change", "service", "second.cn", "--domain", "third.cn", "--name", "新站", "--yes"))
    good(run("change", "subject", "鲁ICP备09090609号", "--name", "新公司"))
    good(run("suspend", "third.cn", "--reason", "违法内容", "--yes"))
    good(run("resume", "third.cn"))
    good(run("cancel", "access", "third.cn", "--reason", "迁出", "--yes"))
    good(run("access", "third.cn", "鲁ICP备09090609号-3", "--account", "a1"))
    good(run("cancel", "service", "third.cn", "--reason", "停办", "--yes"))
    cancelled = good(run("cancel", "subject", "鲁ICP备09090609号", "--reason", "停办", "--yes"))
    assert "example.cn -> absent" in cancelled
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
    migrated(own[1]).close()
    good(invoke(*FILE, "a.cn", "--approve", "--generate", *own))
    for refused in (("suspend", "a.cn", "--reason", "x", "--yes"), ("import", str(path))):
        result = invoke(*refused, *wrong)
        assert result.exit_code in {1, 2}
        assert "[provider_differs]" in result.stderr
        assert "acme" in result.stderr
    assert "agree" in good(invoke("verify", *own))
    good(invoke("suspend", "a.cn", "--reason", "x", "--yes", *own))
    good(invoke("resume", "a.cn", *own))
    assert json.loads(good(invoke("show", "a.cn", "--json", *wrong)))["status"] == "filed"


def test_a_database_knows_whose_it_is_from_its_first_change_on(tmp_path: Path) -> None:
    database = ("--db", str(tmp_path / "r.db"))
    migrated(database[1]).close()
    good(invoke("token", "new", "ops", "--role", "admin", *database))  # changes no filing
    good(invoke(*FILE, "a.cn", *database, "--provider", "acme"))
    assert good(invoke("provider", *database)) == "acme\n"
    good(invoke("approve", "1", "--generate", *database))  # in its own name, unless told another
    result = invoke(*FILE, "b.cn", *database, "--provider", "gate")
    assert (result.exit_code, "[provider_differs]" in result.stderr) == (1, True)
    assert json.loads(good(invoke("show", "a.cn", "--json", *database)))["providers"] == ["acme"]


def test_a_registry_is_not_served_in_the_name_of_another_provider(tmp_path: Path) -> None:
    database = str(tmp_path / "r.db")
    migrated(database).close()
    good(invoke(*FILE, "a.cn", "--approve", "--generate", "--db", database, "--provider", "acme"))
    config = tmp_path / "gate.yaml"
    config.write_text(
        f"state_dir: {tmp_path}\nregistry: {{listen: '127.0.0.1:{free_port()}', "
        f"database: {database}, provider: other}}\n"
    )
    result = invoke("serve", "--config", str(config))
    assert result.exit_code == 2
    assert "the database is of the provider acme, not other" in result.stderr
    assert "gate registry provider" in result.stderr
    assert json.loads(good(invoke("show", "a.cn", "--json", "--db", database)))["status"] == "filed"


def test_another_providers_name_opens_and_closes_by_word(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "domain,licence,subject,providers,status\n"
        "mine.cn,京ICP备12345678号-1,甲,acme,\n"
        "theirs.cn,京ICP备12345678号-2,甲,other,\n"
        "both.cn,京ICP备12345678号-3,甲,acme other,\n"
        "stopped.cn,京ICP备12345678号-4,甲,acme,suspended\n"
    )
    database = ("--db", str(tmp_path / "r.db"))
    migrated(database[1]).close()
    good(invoke("import", str(path), *database, "--provider", "acme"))

    def statuses() -> dict[str, str]:
        lines = good(invoke("search", "--json", *database)).splitlines()
        return {item["domain"]: item["status"] for item in map(json.loads, lines)}

    before = statuses()
    shown = good(invoke("provider", "other", "--dry-run", *database))
    assert "1 domains open and 1 close, such as mine.cn; nothing was changed" in shown
    asked = invoke("provider", "other", *database)
    assert (asked.exit_code, "nothing was changed" in asked.stderr) == (3, True)
    assert statuses() == before
    good(invoke("provider", "other", "--yes", *database))
    assert statuses() == before | {"mine.cn": "filed_elsewhere", "theirs.cn": "filed"}
    assert "agree" in good(invoke("verify", *database))
    assert good(invoke("provider", *database)) == "other\n"


@pytest.mark.parametrize(
    "args", [("show", "a.cn"), ("search",), (*FILE, "a.cn"), ("token", "list"), ("verify",)]
)
def test_a_database_that_is_not_there_is_not_made_in_passing(
    tmp_path: Path, args: tuple[str, ...]
) -> None:
    path = tmp_path / "typo" / "registry.db"
    result = invoke(*args, "--db", str(path))
    assert result.exit_code == 1
    assert f"there is no database {path}; check the path, or make one" in result.stderr
    assert "gate registry migrate" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.programs
def test_a_database_without_a_registry_is_left_as_it_is(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    result = invoke("search", "--db", url)
    assert (result.exit_code, "holds no registry" in result.stderr) == (1, True)
    database = Database(url)
    with database.read() as connection:
        assert inspect(connection).get_table_names() == []
    database.close()
    good(invoke("migrate", "--db", url))
    good(invoke("search", "--db", url))


def test_a_database_of_an_older_version_is_not_changed_in_passing(tmp_path: Path) -> None:
    path = str(tmp_path / "registry.db")
    good(invoke("migrate", "--db", path))
    database = Database(path)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")
    database.close()
    result = invoke("search", "--db", path)
    assert result.exit_code == 1
    assert "has schema 0002, this program needs" in result.stderr


def test_what_holds_personal_data_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    before = os.umask(0o022)
    try:
        good(invoke("migrate", "--db", str(path)))
        database = Database(path)
        with database.write() as connection:
            connection.exec_driver_sql("UPDATE log_head SET changed_at = 1")
            modes = {
                item.name: stat.S_IMODE(item.stat().st_mode) for item in tmp_path.glob("registry*")
            }
        database.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("registry.db", "registry.db-wal", "registry.db-shm"), 0o600)


def test_a_number_is_the_authoritys_to_give(run: Run) -> None:
    good(run(*FILE, "a.cn"))
    for args in (("approve", "1"), ("approve", "1", "--number", "鲁ICP备12345678号", "--generate")):
        result = run(*args)
        assert (result.exit_code, "--number" in result.stderr) == (2, True)
    result = run("file", "b.cn", "--account", "b", "--name", "乙", "--province", "京", "--approve")
    assert (result.exit_code, "--generate" in result.stderr) == (2, True)
    assert "submitted" in good(run("applications"))
    assert "京ICP备" not in good(run("applications"))
    assert "a.cn -> filed" in good(run("approve", "1", "--generate"))


@pytest.mark.parametrize(
    ("args", "closes"),
    [
        (("cancel", "service", "a.cn", "--reason", "停办"), ["a.cn"]),
        (("cancel", "subject", "鲁ICP备09090609号", "--reason", "停办"), ["a.cn", "b.cn"]),
        (("cancel", "access", "a.cn", "--reason", "迁出"), ["a.cn"]),
        (("suspend", "a.cn", "--reason", "违法内容"), ["a.cn"]),
        (("change", "service", "a.cn", "--domain", "c.cn", "--reason", "换域名"), ["a.cn"]),
    ],
)
def test_what_closes_sites_asks_first_and_says_which(
    run: Run, args: tuple[str, ...], closes: list[str]
) -> None:
    good(run(*FILE, "a.cn", "--approve", "--number", "鲁ICP备09090609号-1"))
    more = ("--account", "a1", "--subject", "鲁ICP备09090609号", "--approve", "--generate")
    good(run("file", "b.cn", *more))

    def filed() -> list[str]:
        rows = good(run("search", "--status", "filed", "--json")).splitlines()
        return [json.loads(row)["domain"] for row in rows]

    shown = good(run(*args, "--dry-run"))
    assert "a dry run: nothing was changed" in shown
    assert all(f"{domain} -> " in shown for domain in closes)
    assert filed() == ["a.cn", "b.cn"]
    asked = run(*args)
    assert asked.exit_code == 3
    assert f"{len(closes)} domains close: {', '.join(closes)}; nothing was changed" in asked.stderr
    assert filed() == ["a.cn", "b.cn"]
    done = good(run(*args, "--yes"))
    assert all(f"{domain} -> " in done for domain in closes)
    assert not set(closes) & set(filed())


def test_a_reason_is_asked_for_and_written_down(tmp_path: Path) -> None:
    database = ("--db", str(tmp_path / "r.db"))
    migrated(database[1]).close()
    good(invoke(*FILE, "a.cn", "--approve", "--generate", *database))
    for args in (("service", "a.cn"), ("subject", "鲁ICP备2026000001号"), ("access", "a.cn")):
        result = invoke("cancel", *args, "--yes", *database)
        assert (result.exit_code, "--reason" in result.stderr) == (2, True)
    good(invoke("cancel", "service", "a.cn", "--yes", "--reason", "客户停办", *database))
    opened = Database(database[1])
    with opened.read() as connection:
        last = find_audit(connection, after=0, limit=100)[-1]
    opened.close()
    assert (last.operation, "客户停办" in last.detail) == ("cancel_service", True)


@pytest.mark.parametrize(
    ("args", "env", "part"),
    [
        (("--state-dir", "{folder}"), {"GATE_REGISTRY_URL": "http://127.0.0.1:1"}, "access.json"),
        (("--state-dir", "{folder}"), {"GATE_REGISTRY_DB": "/none/x.db"}, "access.json"),
        (("--db", "{folder}/x.db"), {"GATE_REGISTRY_URL": "http://127.0.0.1:1"}, "no database"),
        (("--url", "http://127.0.0.1:1"), {"GATE_REGISTRY_DB": "/none/x.db"}, "is it running?"),
        ((), {"GATE_REGISTRY_DB": "/none/x.db"}, "no database /none/x.db"),
    ],
)
def test_what_is_written_beats_what_is_in_the_environment(
    tmp_path: Path, args: tuple[str, ...], env: dict[str, str], part: str
) -> None:
    written = [arg.replace("{folder}", str(tmp_path)) for arg in args]
    result = invoke("search", *written, env=env | {"GATE_REGISTRY_TOKEN": "t"})
    assert result.exit_code in {1, 2}
    assert part in result.stderr


def test_a_list_that_replaces_asks_before_it_closes_much(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    rows = [f"d{n}.cn,鲁ICP备09090609号-{n},甲" for n in range(1, 11)]
    path.write_text("\n".join(["domain,licence,subject", *rows]))
    good(run("import", str(path)))
    path.write_text("\n".join(["domain,licence,subject", *rows[:5]]))
    shown = good(run("import", str(path), "--replace", "--dry-run"))
    assert [line for line in shown.splitlines() if line.startswith("- ")] == [
        "- d10.cn",
        *(f"- d{n}.cn" for n in (6, 7, 8, 9)),
    ]
    asked = run("import", str(path), "--replace")
    assert asked.exit_code == 3
    assert "close 5 of 10 filed domains" in asked.stderr
    assert "关闭 10 个已备案域名中的 5 个" in asked.stderr
    done = good(run("import", str(path), "--replace", "--yes"))
    assert "5 on record already" in done
    assert "5 that the list leaves out cancelled" in done
    path.write_text("\n".join(["domain,licence,subject", *rows[4:6]]))
    old = run("import", str(path))
    assert (old.exit_code, "d6.cn was cancelled" in old.stderr) == (1, True)
    revived = run("import", str(path), "--revive")
    assert (revived.exit_code, "1 of the taken had been cancelled" in revived.stdout) == (0, True)
    assert "d6.cn was cancelled or taken off on" in revived.stderr


def test_an_import_reports_the_refused_lines(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "域名,备案号,主体名称\na.cn,鲁ICP备09090609号-1,甲\ncn,鲁ICP备09090609号-2,甲\n"
        "b.cn,鲁ICP备0号-2,甲\n"
    )
    result = run("import", str(path))
    assert (result.exit_code, result.stdout) == (1, "1 taken, 0 on record already, 2 refused\n")
    assert "第 3 行“域名”列：域名“cn”不能备案" in result.stderr
    assert "第 4 行“备案号”列：备案号“鲁ICP备0号-2”格式不正确" in result.stderr
    report = tmp_path / "refused.csv"
    told = run("import", str(path), "--report", str(report))
    assert told.exit_code == 1
    assert f"2 lines that were refused or are remarked on: {report}" in told.stdout
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert [row.split(",")[:2] for row in report.read_text("utf-8-sig").splitlines()] == [
        ["line", "code"],
        ["3", "domain_invalid"],
        ["4", "licence_invalid"],
    ]
    state = json.loads(run("import", str(path), "--json").stdout)
    assert (state["accepted"], state["unchanged"], state["refused"]) == (0, 1, 2)
    assert good(run("export")).splitlines()[1].startswith("a.cn,filed,鲁ICP备09090609号-1,甲")
    good(run("export", "--format", "ndjson", "--output", str(tmp_path / "out.ndjson")))
    assert json.loads((tmp_path / "out.ndjson").read_text())["domain"] == "a.cn"
    assert stat.S_IMODE((tmp_path / "out.ndjson").stat().st_mode) == 0o600


def test_no_report_is_announced_that_was_not_written(run: Run, tmp_path: Path) -> None:
    path, report = tmp_path / "list.csv", tmp_path / "refused.csv"
    path.write_text("域名,备案号,主体名称\na.cn,鲁ICP备09090609号-1,甲\n")
    result = run("import", str(path), "--report", str(report))
    assert (result.exit_code, report.exists()) == (0, False)
    assert f"no line was refused or is remarked on, so {report} was not written" in result.stdout


def test_a_report_that_cannot_be_written_is_named(run: Run, tmp_path: Path) -> None:
    path, report = tmp_path / "list.csv", tmp_path / "none" / "refused.csv"
    path.write_text("域名,备案号,主体名称\ncn,鲁ICP备09090609号-1,甲\n")
    result = run("import", str(path), "--report", str(report))
    assert result.exit_code != 0
    assert f"the report {report} can't be written: No such file or directory" in result.stderr


def test_an_import_of_no_list_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("who,knows\n")
    result = run("import", str(path))
    assert result.exit_code == 2
    assert "there is no header: none of the first 10 rows names a domain column" in result.stderr


def test_a_token_made_elsewhere_is_taken_in_once(tmp_path: Path) -> None:
    database = ("--db", str(tmp_path / "registry.db"))
    migrated(database[1]).close()
    file = tmp_path / "token"
    text = good(invoke("token", "generate")).strip()
    file.write_text(text + "\n")
    adopt = ("token", "adopt", "edge", "--role", "reader", "--from", str(file), *database)
    identity = text.split("_")[1]
    assert good(invoke(*adopt)) == f"token {identity} (reader) is known\n"
    assert good(invoke(*adopt)) == f"token {identity} (reader) is known, as before\n"
    assert good(invoke("token", "list", *database)).count(identity) == 1
    with Database(database[1]).read() as connection:
        assert authenticate(connection, text, now=0).role is Role.READER


@pytest.mark.parametrize("how", ["secret", "role", "revoked", "form"])
def test_another_token_of_that_id_is_refused(tmp_path: Path, how: str) -> None:
    database = ("--db", str(tmp_path / "registry.db"))
    migrated(database[1]).close()
    file = tmp_path / "token"
    text = good(invoke("token", "generate")).strip()
    file.write_text(text)
    adopt = ("token", "adopt", "edge", "--from", str(file), *database, "--role")
    good(invoke(*adopt, "reader"))
    if how == "secret":
        file.write_text(text[:-1] + ("A" if text[-1] != "A" else "B"))
    elif how == "revoked":
        good(invoke("token", "revoke", text.split("_")[1], *database))
    elif how == "form":
        file.write_text("not a token")
    refused = invoke(*adopt, "admin" if how == "role" else "reader")
    assert refused.exit_code == 1
    assert ("no token's text" if how == "form" else "take a new one") in refused.output


def test_tokens_are_made_listed_and_ended(run: Run) -> None:
    made = run("token", "new", "ops", "--role", "reader", "--days", "3")
    token = good(made).strip()
    identity = token.split("_")[1]
    assert identity in made.stderr
    assert f"{identity}  reader" in good(run("token", "list"))
    assert token.split("_", 2)[2] not in good(run("token", "list"))
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
    migrated(str(tmp_path / "r.db")).close()
    result = invoke(*(arg.replace("{db}", str(tmp_path / "r.db")) for arg in args))
    assert result.exit_code in {1, 2}
    assert part in result.stderr
    assert "Traceback" not in result.stderr


def test_the_database_is_migrated_verified_and_begun_anew(tmp_path: Path) -> None:
    database = str(tmp_path / "registry.db")
    assert "revision 0" in good(invoke("migrate", "--db", database))
    good(invoke(*FILE, "a.cn", "--approve", "--generate", "--db", database))
    assert "agree" in good(invoke("verify", "--db", database))
    assert "begins at revision 1" in good(invoke("renew-epoch", "--yes", "--db", database))
    opened = Database(database)
    with opened.write() as connection:
        connection.exec_driver_sql("UPDATE domains SET status = 'suspended'")
    opened.close()
    result = invoke("verify", "--db", database)
    assert result.exit_code == 1
    assert "a.cn is suspended" in result.stdout


@pytest.mark.programs
def test_a_port_in_use_is_one_clear_line_with_status_2(tmp_path: Path) -> None:
    process = RegistryProcess(tmp_path / "process", {"database": str(tmp_path / "registry.db")})
    process.start()
    try:
        config = tmp_path / "gate.yaml"
        config.write_text(f"state_dir: {tmp_path}\nregistry:\n  listen: 127.0.0.1:{process.port}\n")
        result = invoke("serve", "--config", str(config))
        assert result.exit_code == 2
        assert f"registry.listen: 127.0.0.1:{process.port}" in result.stderr
    finally:
        process.kill()


@pytest.mark.programs
def test_the_registry_inside_a_gate_is_found_by_its_state_folder(tmp_path: Path) -> None:
    access = tmp_path / "registry" / "access.json"
    access.parent.mkdir()
    process = RegistryProcess(tmp_path / "process", {"database": str(tmp_path / "registry.db")})
    process.start()
    try:
        url = f"http://127.0.0.1:{process.port}"
        access.write_text(json.dumps({"url": url, "token": process.admin}))
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
        UnfiledName(
            name=name,
            reason="unfiled",
            count=count,
            first_seen=100,
            last_seen=200,
            destinations=tuple(
                UnfiledDestination(address=host, count=number)
                for number, host in enumerate(hosts, 1)
            ),
        )
        for name, count, hosts in (
            ("a.cn", 3, ("192.0.2.1:443", "[2001:db8::1]:443")),
            ("xn--fiqs8s.cn", 2, ()),
        )
    ]
    Registry(database).report_unfiled(UnfiledReport(gate="g1", names=tuple(names)), actor=LOCAL)
    database.close()
    shown = good(run("unfiled"))
    assert "中国.cn" in shown
    assert "192.0.2.1:443" in shown
    first, second = (json.loads(line) for line in good(run("unfiled", "--json")).splitlines())
    assert (first["name"], first["count"], second["display"]) == ("a.cn", 3, "中国.cn")
    assert good(run("unfiled", "--csv", "--limit", "1")).splitlines() == [
        "name,display,reason,count,first_seen,last_seen,gates,first_seen_at,last_seen_at"
        ",destinations",
        "a.cn,a.cn,unfiled,3,100,200,g1,1970-01-01T00:01:40Z,1970-01-01T00:03:20Z,"
        "[2001:db8::1]:443 192.0.2.1:443",
    ]
    assert good(run("unfiled", "--gate", "g9", "--json")) == ""
