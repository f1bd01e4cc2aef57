"""Files of filings in and out."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from gate.filings import Status
from gate.registry import queries
from gate.registry.bulk.exporting import export_filings
from gate.registry.bulk.files import MAX_LINE, FileFormat, guess_format, read_lines
from gate.registry.bulk.filing_row import read_record
from gate.registry.bulk.importing import import_file
from gate.registry.bulk.previewing import Preview, preview_file
from gate.registry.commands import CancelAccess, CancelService, CancelSubject, Resume, Role, Suspend
from gate.registry.errors import RegistryError
from gate.registry.import_modes import ImportMode
from gate.registry.queries import find_refusals
from gate.registry.registry import LOCAL, Registry
from gate.registry.tokens import Actor
from gate.registry.views import ImportView, RefusalView
from tests.registry.conftest import Clock
from tests.registry.filings import changes, do, file_first, first_filing, status

CSV = FileFormat.CSV
NDJSON = FileFormat.NDJSON


def rows(data: bytes, form: FileFormat = CSV) -> list[tuple[int, object]]:
    """Line numbers with the columns, or the code of the refusal."""
    return [
        (line.number, line.values.code if isinstance(line.values, RegistryError) else line.values)
        for line in read_lines(io.BytesIO(data), form)
    ]


def take(registry: Registry, path: Path, **more: object) -> ImportView:
    """Import a file to its end."""
    *_, last = import_file(registry, path, actor=LOCAL, **more)  # type: ignore[arg-type]
    return last


def refusals(registry: Registry, state: ImportView) -> list[RefusalView]:
    with registry.database.read() as connection:
        return find_refusals(connection, state.digest, after=0, limit=1000)


def write(path: Path, *lines: str, header: str = "domain,licence,subject,account") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


# Lines


@pytest.mark.parametrize(
    "data",
    [
        b"domain,licence,subject\na.cn,L,S\n",
        b"\xef\xbb\xbfdomain,licence,subject\r\na.cn,L,S\r\n",
        b"Domain, Licence ,SUBJECT\na.cn,L,S",
        "域名,备案号,主体名称\na.cn,L,S\n".encode(),
        b'"domain","licence","subject"\n"a.cn","L","S"\n',
    ],
)
def test_a_csv_file_names_its_columns_in_either_language(data: bytes) -> None:
    assert rows(data) == [(2, {"domain": "a.cn", "licence": "L", "subject": "S"})]


@pytest.mark.parametrize(
    "header",
    [b"", b"domain,licence", b"domain,licence,subject,colour", b"domain,domain,licence,subject",
     b"\xff\xfe", b'"domain,licence,subject', b"a.cn,L,S"],
)  # fmt: skip
def test_a_csv_file_without_a_usable_header_is_refused_whole(header: bytes) -> None:
    with pytest.raises(RegistryError) as caught:
        rows(header + b"\na.cn,L,S\n")
    assert caught.value.code == "header_invalid"


def test_a_bad_line_spoils_itself_only() -> None:
    data = (
        b"domain,licence,subject\n"
        b"a.cn,L,S\n"
        b'"open quote,L,S\n'
        b"\n"
        b"too,few\n"
        b"too,many,columns,here\n"
        b"\xd6\xd0.cn,L,S\n"
        b"x" * 1 + b"y" * (MAX_LINE + 10) + b"\n"
        b'"a,b",L,"S ""x"""\n'
    )
    assert rows(data) == [
        (2, {"domain": "a.cn", "licence": "L", "subject": "S"}),
        (3, "line_invalid"),
        (5, "line_invalid"),
        (6, "line_invalid"),
        (7, "line_invalid"),
        (8, "line_invalid"),
        (9, {"domain": "a,b", "licence": "L", "subject": 'S "x"'}),
    ]


def test_ndjson_lines_are_objects_of_known_texts() -> None:
    data = (
        b'{"domain": "a.cn", "licence": "L"}\n'
        b"[1]\n"
        b'{"domain": 1}\n'
        b'{"colour": "red"}\n'
        b"{broken\n" + b"[" * 5000 + b"\n"
        b'{"domain": "b.cn"}'
    )
    assert rows(data, NDJSON) == [
        (1, {"domain": "a.cn", "licence": "L"}),
        (2, "line_invalid"),
        (3, "line_invalid"),
        (4, "line_invalid"),
        (5, "line_invalid"),
        (6, "line_invalid"),
        (7, {"domain": "b.cn"}),
    ]


@pytest.mark.parametrize("form", [CSV, NDJSON])
def test_reading_goes_on_behind_any_line(form: FileFormat) -> None:
    data = "domain,licence,subject\n" + "".join(f"a{n}.cn,L,S\n" for n in range(9))
    if form is NDJSON:
        data = "".join(f'{{"domain": "a{n}.cn"}}\n' for n in range(9))
    file = io.BytesIO(data.encode())
    every = list(read_lines(file, form))
    for number, line in enumerate(every):
        rest = list(read_lines(file, form, offset=line.end, number=line.number))
        assert rest == every[number + 1 :]


@pytest.mark.parametrize(
    ("name", "form"), [("a.csv", CSV), ("a.NDJSON", NDJSON), ("a.jsonl", NDJSON), ("a", CSV)]
)
def test_the_format_is_guessed_from_the_name(name: str, form: FileFormat) -> None:
    assert guess_format(name) is form


# Records

GOOD = {"domain": "A.cn", "licence": "鲁ICP备09090609号-2", "subject": "公司"}


def test_a_record_has_defaults() -> None:
    record = read_record(GOOD, "gate")
    assert (record.domain, record.service, record.providers) == ("a.cn", "a.cn", ("gate",))
    assert record.status("gate") is Status.FILED
    assert record.status("other") is Status.FILED_ELSEWHERE


@pytest.mark.parametrize(
    ("more", "code", "field"),
    [
        ({"domain": ""}, "column_empty", "domain"),
        ({"subject": ""}, "column_empty", "subject"),
        ({"domain": "com.cn"}, "domain_invalid", "domain"),
        ({"licence": "鲁ICP备09090609号"}, "licence_not_service", "licence"),
        ({"licence": "x"}, "licence_invalid", "licence"),
        ({"subject": "a\tb"}, "text_invalid", "subject"),
        ({"subject_kind": "robot"}, "field_invalid", "subject_kind"),
        ({"account": "a b"}, "field_invalid", "account"),
        ({"status": "absent"}, "field_invalid", "status"),
        ({"providers": "a/b"}, "field_invalid", "providers"),
        ({"status": "filed", "providers": "other"}, "status_differs", "status"),
        ({"status": "filed_elsewhere", "providers": "gate"}, "status_differs", "status"),
    ],
)
def test_a_record_that_does_not_hold_up_is_refused(
    more: dict[str, str], code: str, field: str
) -> None:
    with pytest.raises(RegistryError) as caught:
        read_record(GOOD | more, "gate")
    assert (caught.value.code, caught.value.field) == (code, field)


# Imports


def test_an_import_takes_what_the_rules_allow_and_reports_the_rest(
    registry: Registry, tmp_path: Path
) -> None:
    file_first(registry, "held.cn", licence="鲁ICP备11111111号-1")
    do(registry, first_filing("waiting.cn", account="w"))
    path = write(
        tmp_path / "f.csv",
        "a.cn,鲁ICP备09090609号-1,甲公司,a",  # 2
        "b.cn,鲁ICP备09090609号-2,甲公司,a",  # 3: the same subject
        "cn,鲁ICP备09090609号-3,甲公司,a",  # 4: a whole top-level domain
        "held.cn,鲁ICP备09090609号-4,甲公司,a",  # 5: filed by another
        "waiting.cn,鲁ICP备09090609号-5,甲公司,a",  # 6: an application waits
        "c.cn,鲁ICP备09090609号-1,甲公司,a",  # 7: another domain of the website
        "d.cn,鲁ICP备09090609号-6,乙公司,a",  # 8: another name
        "e.cn,鲁ICP备09090608号-1,乙公司,a",  # 9: another subject's account
        "f.cn,鲁ICP备09090609号-7,甲公司,b",  # 10: another account
        "a.cn,鲁ICP备09090607号-1,丙公司,c",  # 11: a domain of line 2
        "g.cn,鲁ICP备09090609号-8A,甲公司,",  # 12: an app
        "h.cn,鲁ICP备09090609号-8A,甲公司,",  # 13: with two domains
        "a.cn,鲁ICP备09090609号-1,甲公司,a",  # 14: known by now
    )
    state = take(registry, path)
    assert (state.state, state.lines) == ("done", 14)
    assert (state.accepted, state.unchanged, state.refused, state.further) == (5, 1, 7, 1)
    assert [(row.line, row.code) for row in refusals(registry, state)] == [
        (4, "domain_invalid"),
        (5, "domain_filed"),
        (6, "domain_pending"),
        (7, "domain_further"),
        (8, "subject_name_differs"),
        (9, "account_taken"),
        (10, "subject_other_account"),
        (11, "domain_filed"),
    ]
    assert "鲁ICP备11111111号-1" in refusals(registry, state)[1].zh
    assert {c.domain for c in changes(registry, 1)} == {"a.cn", "b.cn", "c.cn", "g.cn", "h.cn"}


def test_a_refused_line_leaves_no_trace(registry: Registry, tmp_path: Path) -> None:
    file_first(registry, "held.cn")
    path = write(tmp_path / "f.csv", "held.cn,京ICP备12345678号-1,某公司,x")
    assert take(registry, path).refused == 1
    # Neither the subject nor the account was taken by it.
    path = write(tmp_path / "g.csv", "free.cn,京ICP备12345678号-1,另一公司,x")
    assert take(registry, path).accepted == 1


@pytest.mark.parametrize("chunk", [1, 2, 3, 1000])
def test_chunks_do_not_matter(registry: Registry, tmp_path: Path, chunk: int) -> None:
    lines = [
        f"d{n % 7}.cn,京ICP备{10000000 + n % 5}号-{n % 4 + 1},公司{n % 5},a{n % 5}"
        for n in range(147)
    ]
    state = take(registry, write(tmp_path / "f.csv", *lines), chunk_lines=chunk)
    assert (state.accepted, state.unchanged, state.refused) == (7, 7, 133)


def test_an_import_goes_on_where_it_stopped(registry: Registry, tmp_path: Path) -> None:
    lines = [f"d{n}.cn,京ICP备{10000000 + n}号-1,公司,a{n}" for n in range(10)]
    lines[4] = "not a line"
    path = write(tmp_path / "f.csv", *lines)
    progress = import_file(registry, path, actor=LOCAL, chunk_lines=3)
    states = [next(progress) for _ in range(3)]
    progress.close()
    assert [state.lines for state in states] == [0, 4, 7]
    rest = list(import_file(registry, path, actor=LOCAL, chunk_lines=3))
    assert [state.lines for state in rest] == [7, 10, 11]
    assert (rest[-1].accepted, rest[-1].refused, rest[-1].state) == (9, 1, "done")
    assert [row.line for row in refusals(registry, rest[-1])] == [6]
    assert [c.domain for c in changes(registry)] == [f"d{n}.cn" for n in range(10) if n != 4]


def test_two_imports_of_one_file_do_not_do_it_twice(registry: Registry, tmp_path: Path) -> None:
    path = write(
        tmp_path / "f.csv", *(f"d{n}.cn,京ICP备{10000000 + n}号-1,公司,a{n}" for n in range(10))
    )
    first = import_file(registry, path, actor=LOCAL, chunk_lines=3)
    second = import_file(registry, path, actor=LOCAL, chunk_lines=3)
    next(first), next(second)
    next(first)
    with pytest.raises(RegistryError) as caught:
        next(second)
    assert caught.value.code == "import_elsewhere"
    assert list(first)[-1].accepted == 10


def test_a_file_that_was_done_may_be_imported_again(registry: Registry, tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "a.cn,鲁ICP备09090609号-1,甲公司,a", "bad")
    take(registry, path)
    state = take(registry, path)
    assert (state.accepted, state.unchanged, state.refused) == (0, 1, 1)


def test_a_list_brings_nothing_back_that_was_cancelled_unless_it_is_told_to(
    registry: Registry, clock: Clock, tmp_path: Path
) -> None:
    path = write(
        tmp_path / "f.csv", "a.cn,鲁ICP备09090609号-1,甲公司,a", "b.cn,鲁ICP备09090609号-2,甲公司,a"
    )
    take(registry, path)
    do(registry, CancelService(domain="a.cn"))
    clock.now += 86400
    state = take(registry, path)
    assert (state.accepted, state.unchanged, state.refused, state.revived) == (0, 1, 1, 0)
    (refusal,) = refusals(registry, state)
    assert (refusal.line, refusal.code) == (2, "domain_cancelled")
    assert "was cancelled or taken off on 2026-09-21" in refusal.en
    assert status(registry, "a.cn") == "absent"

    state = take(registry, path, mode=ImportMode.REVIVE)
    assert (state.accepted, state.unchanged, state.refused, state.revived) == (1, 1, 0, 1)
    (note,) = refusals(registry, state)
    assert (note.line, note.code) == (2, "domain_revived")
    assert status(registry, "a.cn") == "filed"
    assert take(registry, path, mode=ImportMode.REVIVE).revived == 0


def test_a_list_that_replaces_cancels_what_it_leaves_out(
    registry: Registry, tmp_path: Path
) -> None:
    header = "domain,licence,subject,providers"
    rows = [f"d{n}.cn,鲁ICP备09090609号-{n},甲公司,gate" for n in range(1, 8)]
    app = [f"app{n}.cn,鲁ICP备09090609号-9A,甲公司,gate" for n in (1, 2)]
    away = "away.cn,京ICP备12345678号-1,乙公司,other"
    take(registry, write(tmp_path / "1.csv", *rows, *app, away, header=header))
    do(registry, CancelService(domain="d7.cn"))
    spoilt = write(tmp_path / "3.csv", *rows[2:], app[0], "bad line", header=header)
    with pytest.raises(RegistryError, match=r"1 lines can't be read.*line 8: 1 columns") as caught:
        take(registry, spoilt, mode=ImportMode.REPLACE, max_shrink=0.5)
    assert caught.value.code == "import_unread"
    assert status(registry, "d1.cn") == "filed"
    shorter = write(tmp_path / "2.csv", *rows[2:], app[0], "com.cn,,甲公司,gate", header=header)
    state = take(registry, shorter, mode=ImportMode.REPLACE, max_shrink=0.5)
    assert (state.accepted, state.revived, state.closed, state.refused) == (1, 1, 3, 1)
    found = {
        name: status(registry, name)
        for name in ("d1.cn", "d2.cn", "d3.cn", "d7.cn", "app1.cn", "app2.cn", "away.cn")
    }
    assert found == {
        "d1.cn": "absent",
        "d2.cn": "absent",
        "d3.cn": "filed",
        "d7.cn": "filed",
        "app1.cn": "filed",
        "app2.cn": "absent",
        "away.cn": "filed_elsewhere",
    }
    with registry.database.read() as connection:
        held = queries.subject(connection, "鲁ICP备09090609号").services
    assert [service.licence for service in held] == [
        *(f"鲁ICP备09090609号-{n}" for n in (3, 4, 5, 6, 7)),
        "鲁ICP备09090609号-9A",
    ]
    again = take(registry, shorter, mode=ImportMode.REPLACE)
    assert (again.accepted, again.closed) == (0, 0)


@pytest.mark.parametrize(("bound", "is_taken"), [(0.1, True), (0.09, False)])
def test_a_list_that_replaces_closes_much_by_word_only(
    registry: Registry, tmp_path: Path, bound: float, is_taken: bool
) -> None:
    rows = [f"d{n}.cn,鲁ICP备09090609号-{n},甲公司,a" for n in range(1, 11)]
    take(registry, write(tmp_path / "1.csv", *rows))
    shorter = write(tmp_path / "2.csv", *rows[:9])
    if is_taken:
        assert take(registry, shorter, mode=ImportMode.REPLACE, max_shrink=bound).closed == 1
        return
    with pytest.raises(RegistryError) as caught:
        take(registry, shorter, mode=ImportMode.REPLACE, max_shrink=bound)
    assert caught.value.code == "import_shrinks"
    assert "close 1 of 10 filed domains, such as d10.cn, more than 9%" in caught.value.en
    assert status(registry, "d10.cn") == "filed"


def test_a_list_that_replaces_goes_on_where_it_stopped_and_as_it_was_meant(
    registry: Registry, tmp_path: Path
) -> None:
    rows = [f"d{n}.cn,鲁ICP备09090609号-{n},甲公司,a" for n in range(1, 8)]
    take(registry, write(tmp_path / "1.csv", *rows))
    shorter = write(tmp_path / "2.csv", *rows[:4])
    begun = import_file(
        registry, shorter, actor=LOCAL, mode=ImportMode.REPLACE, max_shrink=1.0, chunk_lines=2
    )
    next(begun)
    assert next(begun).lines == 3
    begun.close()
    state = take(registry, shorter)  # as a service does after a restart, which knows only the file
    assert (state.mode, state.closed) == (ImportMode.REPLACE, 3)
    assert status(registry, "d7.cn") == "absent"


@pytest.mark.parametrize("mode", ImportMode)
def test_a_dry_run_tells_what_an_import_then_does(
    registry: Registry, tmp_path: Path, mode: ImportMode
) -> None:
    rows = [f"d{n}.cn,鲁ICP备09090609号-{n},甲公司,a" for n in range(1, 5)]
    take(registry, write(tmp_path / "1.csv", *rows))
    do(registry, CancelService(domain="d1.cn"))
    path = write(tmp_path / "2.csv", *rows[:3], "new.cn,鲁ICP备09090609号-7,甲公司,a", "cn,x,甲,a")
    before = changes(registry)
    preview = Preview(100)
    for _ in preview_file(registry, path, actor=LOCAL, form=CSV, mode=mode, preview=preview):
        pass
    assert changes(registry) == before
    state = take(registry, path, mode=mode, max_shrink=1.0)
    assert (preview.accepted, preview.unchanged, preview.refused, preview.revived) == (
        state.accepted,
        state.unchanged,
        state.refused,
        state.revived,
    )
    assert preview.closing == state.closed
    assert [note.code for note in sorted(preview.notes, key=lambda note: note.line)] == [
        row.code for row in refusals(registry, state)
    ]
    told = {line.split()[1]: line for line in preview.changes}
    done = {change.domain: change.status.value for change in changes(registry)[len(before) :]}
    assert set(told) == set(done)
    assert told["new.cn"] == "+ new.cn filed 鲁ICP备09090609号-7"
    assert all((line[0] == "-") == (done[name] == "absent") for name, line in told.items())


def test_an_import_files_access_for_what_was_filed_elsewhere(
    registry: Registry, tmp_path: Path
) -> None:
    header = "domain,licence,subject,account,providers,status"
    filing = "a.cn,鲁ICP备09090609号-1,甲公司"
    take(registry, write(tmp_path / "1.csv", f"{filing},,,filed_elsewhere", header=header))
    assert status(registry, "a.cn") == "filed_elsewhere"
    take(registry, write(tmp_path / "2.csv", f"{filing},acc,other gate,", header=header))
    assert status(registry, "a.cn") == "filed"
    take(registry, write(tmp_path / "3.csv", "b.cn,鲁ICP备09090609号-2,甲公司,,,suspended",
                         header=header))  # fmt: skip
    assert status(registry, "b.cn") == "suspended"


def test_an_import_adds_what_a_subject_lacks_and_replaces_nothing(
    registry: Registry, tmp_path: Path
) -> None:
    header = "domain,licence,subject,account,certificate"
    path = write(
        tmp_path / "f.csv",
        "a.cn,鲁ICP备09090609号-1,甲公司,,",
        "a.cn,鲁ICP备09090609号-1,甲公司,acc,",
        "b.cn,鲁ICP备09090609号-2,甲公司,,9137",
        "a.cn,鲁ICP备09090609号-1,甲公司,acc,9137",
        "c.cn,鲁ICP备09090609号-3,甲公司,other,",
        "c.cn,鲁ICP备09090609号-3,甲公司,,9138",
        "d.cn,鲁ICP备09090608号-1,乙公司,,9137",
        header=header,
    )
    for chunk in (1, 1000):
        state = take(registry, path, chunk_lines=chunk)
        assert (state.accepted, state.unchanged, state.refused) == (
            (3, 1, 3) if chunk == 1 else (0, 4, 3)
        )
        assert [row.code for row in refusals(registry, state)] == [
            "subject_other_account",
            "certificate_differs",
            "certificate_taken",
        ]
    exported = b"".join(export_filings(registry.database, CSV)).decode()
    assert "a.cn,filed,鲁ICP备09090609号-1,甲公司,unit,acc,9137" in exported


def test_an_import_takes_numbers_as_the_authority_issued_them_and_exports_the_canonical_form(
    registry: Registry, tmp_path: Path
) -> None:
    path = write(
        tmp_path / "f.csv",
        "a.cn,京ICP备030066号-1,甲公司",
        "b.cn,京ICP证030173号-1,乙公司",
        "c.cn,粤B2-20090059-5,丙公司",
        "d.cn,粤B2－20090059－1626x,丙公司",
        "e.cn,粤B2-20090059-5K,丙公司",
        "f.cn,川 icp备 12345678-1,丁公司",
        "g.cn,蜀ICP备12345678号-2,丁公司",
        "h.cn,京公网安备11010502030001号,戊公司",
        header="domain,licence,subject",
    )
    state = take(registry, path)
    assert (state.accepted, state.refused) == (7, 1)
    assert [(row.line, "公网安备" in row.zh) for row in refusals(registry, state)] == [(9, True)]
    exported = b"".join(export_filings(registry.database, CSV)).decode()
    assert [line.split(",")[2] for line in exported.splitlines()[1:]] == [
        "京ICP备030066号-1",
        "京ICP证030173号-1",
        "粤B2-20090059-5",
        "粤B2-20090059-1626X",
        "粤B2-20090059-5K",
        "蜀ICP备12345678号-1",
        "蜀ICP备12345678号-2",
    ]
    again = tmp_path / "again.csv"
    again.write_bytes(exported.encode())
    assert take(registry, again).unchanged == 7


def test_an_empty_file_of_filings_is_done_at_once(registry: Registry, tmp_path: Path) -> None:
    state = take(registry, write(tmp_path / "f.csv"))
    assert (state.state, state.accepted, state.refused) == ("done", 0, 0)


def test_a_reader_may_not_import(lite: Registry, tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "a.cn,鲁ICP备09090609号-1,甲公司,a")
    with pytest.raises(RegistryError, match="registrar"):
        next(import_file(lite, path, actor=Actor("r", Role.READER)))


@pytest.mark.parametrize("form", [CSV, NDJSON])
def test_an_export_is_imported_to_the_same(
    registry: Registry, tmp_path: Path, form: FileFormat
) -> None:
    header = "domain,licence,subject,subject_kind,account,certificate,service,providers,status"
    lines = [
        'a.cn,鲁ICP备09090609号-1,"甲, ""公司""",unit,acc,9137,首页,gate other,',
        "例子.中国,京ICP备12345678号-3A,某人,个人,,,应用,other,",
        "b.cn,京ICP备12345678号-4,某人,个人,,,,gate,suspended",
    ]
    take(registry, write(tmp_path / "f.csv", *lines, header=header))
    exported = b"".join(export_filings(registry.database, form))
    for licence in ("鲁ICP备09090609号", "京ICP备12345678号"):
        do(registry, CancelSubject(licence=licence))
    path = tmp_path / f"export.{form}"
    path.write_bytes(exported)
    assert take(registry, path, mode=ImportMode.REVIVE).accepted == 3
    assert b"".join(export_filings(registry.database, form)) == exported


def test_an_export_brings_no_access_back_that_was_cancelled(
    registry: Registry, tmp_path: Path
) -> None:
    file_first(registry, "a.cn")
    do(registry, CancelAccess(domain="a.cn"))
    do(registry, Suspend(domain="a.cn", reason="order"))
    path = tmp_path / "export.csv"
    path.write_bytes(b"".join(export_filings(registry.database, CSV)))
    assert take(registry, path).refused == 0
    do(registry, Resume(domain="a.cn"))
    assert status(registry, "a.cn") == "filed_elsewhere"


def test_a_line_that_would_suspend_what_is_filed_is_refused_not_passed_over(
    lite: Registry, tmp_path: Path
) -> None:
    row = "a.cn,鲁ICP备09090609号-2,甲,acc"
    take(lite, write(tmp_path / "filed.csv", row))
    header = "domain,licence,subject,account,status"
    state = take(lite, write(tmp_path / "later.csv", f"{row},suspended", header=header))
    assert (state.unchanged, state.refused) == (0, 1)
    assert refusals(lite, state)[0].code == "import_suspends"
