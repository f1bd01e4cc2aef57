"""The schema and its migrations, on both databases."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.command import upgrade
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from gate.filings import Change, Status
from gate.licence import ServiceKind
from gate.registry import blocked_names, log, migrations, queries
from gate.registry.commands import Approve, CancelSubject, Role
from gate.registry.database import Database, database_url
from gate.registry.errors import RegistryError
from gate.registry.gates import in_force, standings
from gate.registry.migrations import migrate
from gate.registry.orders.working_days import china_midnight
from gate.registry.registry import LOCAL, Registry
from gate.registry.schema import domains, metadata
from gate.registry.sightings.hollow import find_hollow
from gate.registry.sightings.traffic import count_idle, find_idle
from gate.registry.tokens import list_tokens
from gate.registry.unfiled import UnfiledQuery
from gate.registry.verifying import verify
from gate.registry.workflow.queries import order_view
from tests.harness.postgres import PostgresServer
from tests.registry.filings import first_filing


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.programs)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a schema."""
    if request.param == "sqlite":
        return str(tmp_path / "new" / "registry.db")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def empty(empty_url: str) -> Iterator[Database]:
    """Its connections."""
    database = Database(empty_url)
    yield database
    database.close()


OVER_AN_EXPRESSION = "ix_domains_filed_stirred"
"""An index that Alembic can't compare: it has a test of its own."""
OF_PARTS = "ix_subjects_live_name_parts"
"""An index that is made where PostgreSQL has the extension for it."""


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_the_migrations_make_the_schema_that_the_program_knows(empty: Database) -> None:
    migrate(empty)
    options = {
        "compare_type": True,
        "include_object": lambda item, name, *_: name not in (OVER_AN_EXPRESSION, OF_PARTS),
    }
    with empty.read() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_the_index_over_an_expression_is_the_one_that_the_program_knows(empty: Database) -> None:
    told = []
    migrate(empty)
    for _ in range(2):
        with empty.write() as connection:
            found = connection.exec_driver_sql(
                f"SELECT sql FROM sqlite_master WHERE name = '{OVER_AN_EXPRESSION}'"
                if empty.embedded
                else f"SELECT indexdef FROM pg_indexes WHERE indexname = '{OVER_AN_EXPRESSION}'"
            ).scalar_one()
            told.append(re.sub(r'domains\.|[()"\s]', "", found))
            (index,) = (one for one in domains.indexes if one.name == OVER_AN_EXPRESSION)
            index.drop(connection)
            index.create(connection)
    assert told[0] == told[1]


@pytest.mark.programs
@pytest.mark.parametrize("right", [True, False], ids=["a superuser", "nobody in particular"])
def test_postgresql_gets_an_index_of_parts_of_names_where_it_may(
    postgres: PostgresServer, right: bool, caplog: pytest.LogCaptureFixture
) -> None:
    url = database_url(postgres.new_database())
    if not right:
        owner = Database(url.render_as_string(hide_password=False))
        with owner.write() as connection:
            connection.exec_driver_sql("CREATE ROLE plain LOGIN")
            connection.exec_driver_sql("GRANT CREATE ON SCHEMA public TO plain")
        owner.close()
        url = url.set(username="plain")
    database = Database(url.render_as_string(hide_password=False))
    migrate(database)
    with database.read() as connection:
        query = f"SELECT count(*) FROM pg_indexes WHERE indexname = '{OF_PARTS}'"
        assert connection.exec_driver_sql(query).scalar_one() == right
    database.close()
    assert ("CREATE EXTENSION" in caplog.text) != right


def test_migrating_again_changes_nothing(empty: Database) -> None:
    revision = migrate(empty)
    with empty.read() as connection:
        head = log.head(connection)
    assert migrate(empty) == revision
    with empty.read() as connection:
        assert log.head(connection) == head


def test_blocked_names_from_before_stay_and_have_no_destinations(empty: Database) -> None:
    as_of(empty, "0010")
    with empty.write() as connection:
        connection.exec_driver_sql("INSERT INTO unfiled VALUES ('a.cn', 'g1', 'unfiled', 3, 1, 2)")
    migrate(empty)
    with empty.read() as connection:
        (row,) = blocked_names.find(connection, UnfiledQuery(), after=None, limit=10)
    assert (row.name, row.count, row.destinations) == ("a.cn", 3, ())


def test_what_was_told_of_traffic_and_services_before_still_tells_what_is_idle_and_hollow(
    empty: Database,
) -> None:
    as_of(empty, "0012")
    day, now = date(2026, 9, 1), china_midnight(date(2026, 10, 1))
    with empty.write() as connection:
        for number, name in enumerate(("seen.cn", "unseen.cn", "ended.cn", "busy.cn"), 1):
            file_as_0002(connection, number, f"京ICP备{number}号", name)
        for name, seen in (("seen.cn", day), ("busy.cn", date(2026, 9, 20))):
            connection.exec_driver_sql(f"INSERT INTO traffic VALUES ('{name}', {seen.toordinal()})")
        today = date(2026, 10, 1).toordinal()
        connection.exec_driver_sql(f"INSERT INTO traffic_gates VALUES ('g1', 1, 1, {today})")
        connection.exec_driver_sql("UPDATE services SET cancelled_at = 77 WHERE id = 3")
        connection.exec_driver_sql("DELETE FROM accesses WHERE service_id = 3")
        connection.exec_driver_sql(
            "UPDATE domains SET status = 'absent', licence = '', service_id = NULL "
            "WHERE domain = 'ended.cn'"
        )
        connection.exec_driver_sql(
            "INSERT INTO subjects (id, licence, province, name, kind, created_at, changed_at) "
            "VALUES (9, '京ICP备9号', '京', 'X', 'unit', 55, 55)"
        )
    migrate(empty)
    with empty.read() as connection:
        found = find_idle(connection, 30, now=now, after="", limit=10)
        assert [(one.domain, one.last_day) for one in found] == [
            ("unseen.cn", None),
            ("seen.cn", day),
        ]
        assert count_idle(connection, 30, now=now) == 2
        assert count_idle(connection, 31, now=now) == 1
        empty_ones = find_hollow(connection, after="", limit=10)
        assert [(one.licence, one.since) for one in empty_ones] == [
            ("京ICP备3号", 77),
            ("京ICP备9号", 55),
        ]


def test_where_gates_stood_before_is_still_known(empty: Database) -> None:
    as_of(empty, "0012")
    with empty.write() as connection:
        epoch = log.head(connection).epoch
        for gate, revision, at, seen_at in (
            ("edge-1", 5, 1_000_000, 1_000_009),
            ("edge-1", 6, 1_000_010, 1_000_030),
            ("edge-1", 9, 1_000_090, 1_000_100),
            ("edge-2", 5, 1_000_000, 1_000_110),
        ):
            connection.exec_driver_sql(
                f"INSERT INTO gate_positions VALUES ('{gate}', '{epoch}', {revision}, 'pull', "
                f"{at}, {seen_at})"
            )
    migrate(empty)
    with empty.read() as connection:
        found = standings(connection, epoch=epoch, revision=9)
        assert [(one.gate, one.revision, one.since, one.seen_at) for one in found] == [
            ("edge-1", 9, 1_000_090, 1_000_100),
            ("edge-2", 5, 1_000_000, 1_000_110),
        ]
        there, known = in_force(connection, 6, epoch)
        assert ([(one.gate, one.since) for one in there], known) == ([("edge-1", 1_000_010)], 2)


def test_processes_that_start_together_take_turns(empty_url: str) -> None:
    def start(number: int) -> str:
        database = Database(empty_url)
        try:
            migrate(database)
            with database.read() as connection:
                return log.head(connection).epoch
        finally:
            database.close()

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(start, range(4)))) == 1


def test_a_newer_schema_is_left_alone(empty: Database) -> None:
    migrate(empty)
    with empty.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(RegistryError) as caught:
        migrate(empty)
    assert (caught.value.code, "9999" in caught.value.en) == ("schema_unknown", True)


@pytest.mark.parametrize("where", ["mysql://x/y", "oracle://x", "nonsense://", "://"])
def test_another_sort_of_database_is_refused_with_what_is_offered(where: str) -> None:
    with pytest.raises(RegistryError) as caught:
        database_url(where)
    assert caught.value.code == "database_unavailable"


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(b"this is no database\n" * 500)
    database = Database(str(path))
    with pytest.raises(RegistryError) as caught:
        migrate(database)
    assert caught.value.code == "database_unavailable"
    database.close()
    assert path.read_bytes().startswith(b"this is no database")


def test_sqlite_is_durable_and_lets_readers_be(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "registry.db"))
    with database.read() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 2, 1]
    database.close()


def as_of(database: Database, revision: str) -> None:
    """Give an empty database the schema of an earlier version, and the first epoch."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with database.write() as connection:
        config.attributes["connection"] = connection
        upgrade(config, revision)
        log.begin_epoch(connection)


def file_as_0002(connection: Connection, number: int, licence: str, domain: str) -> None:
    """A filing as 0.1.0 put it on record, as the log's revision `number`."""
    site = f"{licence}-1"
    for statement in (
        "INSERT INTO subjects (id, licence, province, name, kind, created_at, changed_at) "
        f"VALUES ({number}, '{licence}', '{licence[0]}', 'X', 'unit', 1, 1)",
        "INSERT INTO services (id, subject_id, kind, site, name, suspended, created_at, "
        f"changed_at) VALUES ({number}, {number}, 'website', 1, 'W', false, 1, 1)",
        f"INSERT INTO accesses (service_id, provider, since) VALUES ({number}, 'gate', 1)",
        "INSERT INTO domains (domain, status, licence, changed_at, revision, service_id) "
        f"VALUES ('{domain}', 'filed', '{site}', 1, {number}, {number})",
    ):
        connection.exec_driver_sql(statement)
    change = Change(domain, Status.FILED, site, 1)
    log.append(connection, log.head(connection, lock=True), "approve", [change], 1)


def test_numbers_of_a_provinces_other_abbreviation_become_those_in_the_issued_form(
    empty: Database,
) -> None:
    as_of(empty, "0002")
    with empty.write() as connection:
        file_as_0002(connection, 1, "川ICP备12345678号", "a.cn")
        file_as_0002(connection, 2, "鲁ICP备12345678号", "b.cn")
        file_as_0002(connection, 3, "云ICP备87654321号", "c.cn")
    migrate(empty)
    registry = Registry(empty)
    with empty.read() as connection:
        assert list(verify(connection, "gate")) == []
        assert [
            (change.domain, change.status, change.licence)
            for change in log.read_after(connection, 3, limit=10)
        ] == [
            ("a.cn", Status.FILED, "蜀ICP备12345678号-1"),
            ("c.cn", Status.FILED, "滇ICP备87654321号-1"),
        ]
        assert queries.subject(connection, "川ICP备12345678号").province == "蜀"
    done = registry.perform(CancelSubject(licence="川ICP备12345678号"), actor=LOCAL)[0]
    assert [change.domain for change in done.changes] == ["a.cn"]


def test_two_subjects_that_would_get_one_number_stay_as_they_are_and_the_rest_goes_on(
    empty: Database,
) -> None:
    as_of(empty, "0002")
    with empty.write() as connection:
        file_as_0002(connection, 1, "川ICP备12345678号", "a.cn")
        file_as_0002(connection, 2, "蜀ICP备12345678号", "b.cn")
    migrate(empty)
    with empty.read() as connection:
        assert queries.filing(connection, "a.cn").licence == "川ICP备12345678号-1"
        assert queries.filing(connection, "b.cn").licence == "蜀ICP备12345678号-1"
        (fault,) = verify(connection, "gate")
    assert "a.cn" in fault


def test_an_old_database_takes_the_new_kinds_of_services(empty: Database) -> None:
    as_of(empty, "0002")
    migrate(empty)
    statement = (
        "INSERT INTO services (id, subject_id, kind, site, name, suspended, created_at, "
        "changed_at) VALUES ({id}, 1, '{kind}', {id}, 'W', false, 1, 1)"
    )
    with empty.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO subjects (id, licence, province, name, kind, created_at, changed_at) "
            "VALUES (1, '鲁ICP备12345678号', '鲁', 'X', 'unit', 1, 1)"
        )
        for number, kind in enumerate(ServiceKind, 1):
            connection.exec_driver_sql(statement.format(id=number, kind=kind))
    with pytest.raises(IntegrityError), empty.write() as connection:
        connection.exec_driver_sql(statement.format(id=9, kind="nonsense"))


def test_names_on_record_are_found_by_capitals_and_small_letters_alike(empty: Database) -> None:
    as_of(empty, "0008")
    with empty.write() as connection:
        for number, name in enumerate(("ACME贸易有限公司", "某某网络公司", "Äpfel公司"), 1):
            file_as_0002(connection, number, f"京ICP备{number}号", f"{number}.cn")
            connection.exec_driver_sql(f"UPDATE subjects SET name = '{name}' WHERE id = {number}")
    migrate(empty)
    with empty.read() as connection:
        for text_, domain in (("acme贸易", "1.cn"), ("网络公司", "2.cn"), ("äPFEL", "3.cn")):
            query = queries.FilingQuery(subject=text_)
            found = queries.find_filings(connection, query, after="", limit=10)
            assert [one.domain for one in found] == [domain]


# As the program of before has written them: number, kind, state, request, decided, reason, licence.
APPLICATIONS = [
    (
        *(1, "first_filing", "approved"),
        '{"account":"a1","province":"鲁","subject":{"name":"某某网络公司","kind":"unit",'
        '"certificate":"91370000000000001X"},"service":{"name":"网站","kind":"website",'
        '"domains":["a.cn"]}}',
        *(1_700_000_500, "ops (2)", "", "鲁ICP备09090609号-1"),
    ),
    (
        *(2, "new_service", "submitted"),
        '{"account":"a1","licence":"鲁ICP备09090609号","subject":null,"service":{"name":"论坛",'
        '"kind":"website","domains":["b.cn"]}}',
        *(None, None, "", ""),
    ),
    (
        *(3, "first_filing", "rejected"),
        '{"account":"a2","province":"京","subject":{"name":"李四","kind":"person",'
        '"certificate":null},"service":{"name":"应用","kind":"app","domains":["c.cn","d.cn"]}}',
        *(1_700_000_900, "ops (2)", "材料不全", ""),
    ),
    (
        *(7, "first_filing", "submitted"),
        '{"account":"a2","province":"京","subject":{"name":"李四","kind":"person",'
        '"certificate":null},"service":{"name":"应用","kind":"app","domains":["c.cn","d.cn"]}}',
        *(None, None, "", ""),
    ),
    (
        *(9, "new_service", "rejected"),
        '{"account":"a3","licence":"沪ICP备20004178号","subject":{"name":"他处公司","kind":"unit",'
        '"certificate":"X"},"service":{"name":"站","kind":"website","domains":["e.cn"]}}',
        *(1_700_001_000, "local", "重复", ""),
    ),
]


def test_applications_become_orders_without_loss(empty: Database) -> None:
    """What the API shows of them is what was put down before, and they go on from there."""
    as_of(empty, "0002")
    with empty.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO subjects (id, licence, province, name, kind, account, created_at, "
            "changed_at) VALUES (1, '鲁ICP备09090609号', '鲁', '某某网络公司', 'unit', 'a1', 1, 1)"
        )
        connection.execute(
            text(
                "INSERT INTO tokens (id, name, role, digest, created_at) "
                "VALUES ('000000000000', 'ops', 'registrar', :digest, 5)"
            ),
            {"digest": b"x" * 32},
        )
        for number, kind, state, request, *decided in APPLICATIONS:
            connection.execute(
                text(
                    "INSERT INTO applications (id, kind, state, account, request, submitted_at, "
                    "submitted_by, decided_at, decided_by, reason, licence) VALUES (:id, :kind, "
                    ":state, :account, :request, 1700000000, 'clerk (1)', :at, :by, :reason, "
                    ":licence)"
                ),
                {
                    "id": number,
                    "kind": kind,
                    "state": state,
                    "account": json.loads(request)["account"],
                    "request": request,
                    **dict(zip(("at", "by", "reason", "licence"), decided, strict=True)),
                },
            )
            if state == "submitted":
                for domain in json.loads(request)["service"]["domains"]:
                    connection.execute(
                        text("INSERT INTO reservations VALUES (:domain, :number)"),
                        {"domain": domain, "number": number},
                    )
    migrate(empty)
    with empty.read() as connection:
        found = queries.find_applications(connection, state=None, after=0, limit=10)
        assert [token.role for token in list_tokens(connection)] == [Role.REGISTRAR]
    for view, (number, kind, state, request, at, by, reason, licence) in zip(
        found, APPLICATIONS, strict=True
    ):
        shown = json.loads(request)
        if shown.get("subject") and shown["subject"]["certificate"]:
            shown["subject"]["certificate"] = "…"
        assert (view.id, view.kind, view.state) == (number, kind, state)
        assert view.request.model_dump(mode="json") == shown
        assert (view.submitted_at, view.submitted_by) == (1_700_000_000, "clerk (1)")
        assert (view.decided_at, view.decided_by) == (at, by)
        assert (view.reason, view.licence) == (reason, licence)

    registry = Registry(empty)
    assert registry.sweep() == (0, [])
    with empty.read() as connection:
        waiting = order_view(connection, 7, now=1_700_000_001)
    assert waiting.due is not None
    assert not waiting.due.estimate
    # 20 working days after Wednesday, 15 November 2023, in China: the end of 13 December.
    assert waiting.due.at == 1_702_483_200
    with pytest.raises(RegistryError, match="number 7"):
        registry.perform(first_filing("d.cn", account="a9"), actor=LOCAL)
    for number in (2, 7):
        outcome, _ = registry.perform(Approve(application=number, generate=True), actor=LOCAL)
        assert {change.status for change in outcome.changes} == {"filed"}
    with pytest.raises(RegistryError, match="decided already"):
        registry.perform(Approve(application=1, generate=True), actor=LOCAL)
