"""What clerks see: who did what, what became of a domain, what covers a name, and a login."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import click.testing
import pytest

from gate.cli.registry import registry as commands
from gate.registry import log
from gate.registry.commands import (
    Approve,
    CancelService,
    ChangeSubject,
    FirstFiling,
    NewService,
    Role,
    ServiceData,
    SubjectData,
)
from gate.registry.errors import RegistryError
from gate.registry.history import history
from gate.registry.queries import AuditFilter, FilingQuery, filing, find_audit, find_filings
from gate.registry.registry import LOCAL, Registry
from gate.registry.tokens import Actor
from tests.harness import new_registry
from tests.harness.registry_process import RegistryProcess
from tests.registry.conftest import Clock
from tests.registry.test_cli import good, invoke

CLERK = Actor("张三", Role.ADMIN)


def put(registry: Registry, account: str, name: str, *domains: str) -> None:
    """File domains, each as a website of one subject."""
    number = ""
    for place, domain in enumerate(domains):
        service = ServiceData(name=f"网站{place}", domains=(domain,))
        if place == 0:
            subject = SubjectData(name=name)
            asked: FirstFiling | NewService = FirstFiling(
                account=account, province="京", subject=subject, service=service
            )
        else:
            asked = NewService(account=account, licence=number, service=service)
        outcome, _ = registry.perform(asked, actor=LOCAL)
        done, _ = registry.perform(
            Approve(application=outcome.application or 0, generate=True), actor=CLERK
        )
        number = (done.licence or "").partition("-")[0]


@pytest.fixture
def filled(registry: Registry) -> Registry:
    def file() -> None:
        put(registry, "a1", "示例公司", "example.com", "example.com.cn", "shop.cn", "deep.shop.cn")
        put(registry, "a2", "Example 商行", "other.cn", "例子.cn", "examples.cn")

    new_registry.filled(registry.database, "what is looked for", file)
    return registry


@pytest.mark.parametrize(
    ("name", "covered_by"),
    [
        ("example.com", "example.com"),
        ("www.example.com", "example.com"),
        ("WWW.A.B.Example.COM.", "example.com"),
        ("www.deep.shop.cn", "deep.shop.cn"),
        ("not-deep.shop.cn", "shop.cn"),
        ("www.例子.cn", "xn--fsqu00a.cn"),
    ],
)
def test_a_name_shows_the_filing_that_covers_it(
    filled: Registry, name: str, covered_by: str
) -> None:
    with filled.database.read() as connection:
        assert filing(connection, name).domain == covered_by


def test_what_was_cancelled_covers_nothing_where_something_else_does(filled: Registry) -> None:
    filled.perform(CancelService(domain="deep.shop.cn"), actor=LOCAL)
    with filled.database.read() as connection:
        assert filing(connection, "www.deep.shop.cn").domain == "shop.cn"
    filled.perform(CancelService(domain="shop.cn"), actor=LOCAL)
    with filled.database.read() as connection:
        found = filing(connection, "www.deep.shop.cn")
        assert (found.domain, found.status) == ("deep.shop.cn", "absent")
        with pytest.raises(RegistryError, match=r"nobody\.cn"):
            filing(connection, "www.nobody.cn")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("example", ["example.com", "example.com.cn", "examples.cn", "other.cn", "xn--fsqu00a.cn"]),
        ("EXAMPLE.com", ["example.com", "example.com.cn"]),
        ("examples", ["examples.cn"]),
        ("shop", ["shop.cn"]),
        ("www.deep.shop.cn", ["deep.shop.cn", "shop.cn"]),
        ("例子", ["xn--fsqu00a.cn"]),
        ("示例", ["deep.shop.cn", "example.com", "example.com.cn", "shop.cn"]),
        ("xample", ["examples.cn", "other.cn", "xn--fsqu00a.cn"]),  # the subject alone
        ("100%", []),
        ("_", []),
        ("..", []),
    ],
)
def test_a_search_finds_the_beginning_of_a_domain_and_part_of_a_subject(
    filled: Registry, text: str, found: list[str]
) -> None:
    with filled.database.read() as connection:
        rows = find_filings(connection, FilingQuery(text=text), after="", limit=10)
        assert [row.domain for row in rows] == found


def test_a_subject_is_found_by_its_new_name_in_capitals_or_not(filled: Registry) -> None:
    with filled.database.read() as connection:
        (row,) = find_filings(connection, FilingQuery(text="shop.cn"), after="", limit=10)
    assert row.subject is not None
    changing = ChangeSubject(licence=row.subject.licence, name="ACME 贸易 Ltd")
    filled.perform(changing, actor=LOCAL)
    with filled.database.read() as connection:
        for text in ("acme 贸易", "贸易 LTD", "Acme"):
            rows = find_filings(connection, FilingQuery(text=text), after="", limit=10)
            assert "shop.cn" in {one.domain for one in rows}
        assert find_filings(connection, FilingQuery(text="acme贸易"), after="", limit=10) == []


def test_pages_of_a_search_are_in_order_and_whole(filled: Registry) -> None:
    query, got, after = FilingQuery(text="example"), [], ""
    with filled.database.read() as connection:
        while page := find_filings(connection, query, after=after, limit=2):
            got += [row.domain for row in page]
            after = got[-1]
    assert got == ["example.com", "example.com.cn", "examples.cn", "other.cn", "xn--fsqu00a.cn"]


def test_history_tells_each_change_with_who_made_it(registry: Registry, clock: Clock) -> None:
    put(registry, "a1", "示例公司", "example.com", "shop.cn")
    clock.now += 60
    registry.perform(CancelService(domain="example.com"), actor=Actor("李四", Role.ADMIN))
    with registry.database.read() as connection:
        told = history(connection, "Example.com")
        other = history(connection, "shop.cn")
        assert history(connection, "nobody.cn").items == ()
        # Only the name itself, not what its text is a part of.
        assert history(connection, "ample.com").items == ()
    changes = [line for line in told.items if line.revision is not None]
    assert [(line.what, line.status, line.actor) for line in changes] == [
        ("approve", "filed", "张三"),
        ("cancel_service", "absent", "李四"),
    ]
    assert changes[0].licence.startswith("京ICP备")
    assert [line.revision for line in changes] == [1, 3]
    assert changes[1].time - changes[0].time == 60
    assert [line.revision for line in other.items if line.revision] == [2]
    steps = [(line.what, line.order, line.actor) for line in told.items if line.order]
    assert steps[0][1:] == (1, "local")
    assert steps[-1][1:] == (1, "张三")


def test_history_says_where_the_log_begins(registry: Registry) -> None:
    put(registry, "a1", "示例公司", "example.com", "shop.cn")
    with registry.database.write() as connection:
        log.compact(connection, keep=1)
    with registry.database.read() as connection:
        told = history(connection, "example.com")
    assert told.log_begins_at == 1
    assert [line for line in told.items if line.revision] == []


@pytest.mark.parametrize(
    ("text", "operations"),
    [
        (None, ["cancel_service", "approve", "first_filing"]),
        ("张三", ["approve"]),
        ("cancel", ["cancel_service"]),
        ("example.com", ["cancel_service", "first_filing"]),
        ("100%", []),
    ],
)
def test_the_audit_trail_is_searched_and_the_newest_comes_first(
    registry: Registry, text: str | None, operations: list[str]
) -> None:
    put(registry, "a1", "示例公司", "example.com")
    registry.perform(CancelService(domain="example.com"), actor=LOCAL)
    query = AuditFilter(text=text, newest=True)
    with registry.database.read() as connection:
        rows = find_audit(connection, query, after=0, limit=10)
        assert [row.operation for row in rows] == operations
        if rows:
            below = find_audit(connection, query, after=rows[0].id, limit=10)
            assert [row.operation for row in below] == operations[1:]


# On the command line.

FILE = (
    "file",
    "--account",
    "a1",
    "--name",
    "某某公司",
    "--province",
    "鲁",
    "--approve",
    "--generate",
)


def test_the_commands_show_it(tmp_path: Path) -> None:
    env = {"GATE_REGISTRY_DB": str(tmp_path / "registry.db")}
    good(invoke("migrate", env=env))
    good(invoke(*FILE, "example.cn", env=env))
    shown = good(invoke("show", "www.example.cn", env=env))
    assert "www.example.cn is covered by example.cn:" in shown
    assert "某某公司" in shown
    assert "is covered" not in good(invoke("show", "Example.cn.", env=env))
    assert "example.cn" in good(invoke("search", "exam", env=env))
    told = good(invoke("history", "example.cn", env=env))
    assert "filed" in told
    assert "local" in told
    assert json.loads(good(invoke("history", "example.cn", "--json", env=env)))["items"]
    assert "approve" in good(invoke("audit", env=env))
    assert "approve" not in good(invoke("audit", "first_filing", env=env))
    nothing = invoke("history", "nobody.cn", env=env)
    assert "nothing is known of nobody.cn" in nothing.stderr


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryProcess]:
    folder = tmp_path_factory.mktemp("login")
    process = RegistryProcess(folder, {"database": str(folder / "registry.db")})
    process.start()
    try:
        yield process
    finally:
        process.kill()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., click.testing.Result]:
    """The commands of somebody who is not logged in yet."""
    profile = str(tmp_path / "settings" / "registry.json")

    def run(*args: str, said: str = "", **env: str) -> click.testing.Result:
        clean = dict.fromkeys(("GATE_REGISTRY_DB", "GATE_REGISTRY_URL", "GATE_REGISTRY_TOKEN"))
        runner = click.testing.CliRunner(env=clean | {"GATE_REGISTRY_PROFILE": profile} | env)
        result = runner.invoke(commands, args, input=said, catch_exceptions=False)
        assert isinstance(result, click.testing.Result)
        return result

    return run


@pytest.mark.programs
def test_a_login_is_kept_for_its_owner_alone_and_used(
    serving: RegistryProcess, run: Callable[..., click.testing.Result], tmp_path: Path
) -> None:
    told = run("login", serving.url, said=f"{serving.admin}\n")
    assert "at revision" in good(told)
    assert serving.admin not in told.output
    path = tmp_path / "settings" / "registry.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    good(run(*FILE, "login.cn"))
    assert "login.cn" in good(run("search", "login"))
    assert "login.cn" in good(run("search", "login", "--url", serving.url))
    # What is said otherwise counts more.
    other = str(tmp_path / "other.db")
    good(run("migrate", "--db", other))
    assert "login.cn" not in good(run("search", "login", "--db", other))
    refused = run("search", "login", "--token", "gr_wrong")
    assert refused.exit_code == 1
    elsewhere = run("search", "login", "--url", "http://127.0.0.1:1")
    assert "a token is needed with --url" in elsewhere.output
    assert "forgotten" in good(run("logout"))
    assert "nobody was logged in" in good(run("logout"))
    assert "gate registry login URL" in run("search", "x", "--state-dir", str(tmp_path)).output


@pytest.mark.programs
def test_a_token_that_is_not_taken_is_not_kept(
    serving: RegistryProcess, run: Callable[..., click.testing.Result], tmp_path: Path
) -> None:
    assert run("login", serving.url, "--token", "gr_nothing").exit_code == 1
    assert run("login", "http://127.0.0.1:1", "--token", "gr_nothing").exit_code == 1
    assert not (tmp_path / "settings").exists()


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ('{"url": "http://a", "token": "t"}', 0o640, "others may read it"),
        ("{", 0o600, "can't be used"),
        ("[]", 0o600, "can't be used"),
        ('{"url": "http://a"}', 0o600, "can't be used"),
    ],
)
def test_a_profile_that_is_no_secret_or_no_profile_is_refused(
    run: Callable[..., click.testing.Result], tmp_path: Path, content: str, mode: int, said: str
) -> None:
    path = tmp_path / "settings" / "registry.json"
    path.parent.mkdir()
    path.write_text(content)
    path.chmod(mode)
    result = run("search", "x")
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
