"""Twenty files as clerks have them: each imports with the right result, or the right message."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click.testing
import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.cli.registry import registry as commands
from gate.lists import ListError, column_of, read_file
from gate.registry.database import Database
from gate.registry.queries import FilingQuery, find_filings
from tests.harness.new_registry import migrated

ROWS = (
    ("例子.cn", "京ICP备30000001号-1", "北京某某科技有限公司", "企业", "已接入"),
    ("example.com", "沪ICP备30000002号-1", "张三", "个人", "正常"),
)
"""What most of the files say."""
TAKEN = {
    "xn--fsqu00a.cn": ("filed", "京ICP备30000001号-1", "北京某某科技有限公司", "unit"),
    "example.com": ("filed", "沪ICP备30000002号-1", "张三", "person"),
}
CHINESE = ("网站域名", "网站备案/许可证号", "主办单位名称", "主办单位性质", "接入状态")
ENGLISH = ("domain", "licence", "subject", "subject_kind", "status")
PLAIN = (("a.cn", "京ICP备30000003号-1", "甲公司"), ("b.cn", "京ICP备30000004号-1", "乙公司"))
PLAIN_TAKEN = {
    "a.cn": ("filed", "京ICP备30000003号-1", "甲公司", "unit"),
    "b.cn": ("filed", "京ICP备30000004号-1", "乙公司", "unit"),
}


def table(header: Sequence[str], rows: Sequence[Sequence[str]], separator: str = ",") -> str:
    """Text as a spreadsheet writes it."""
    return "".join(separator.join(row) + "\r\n" for row in (header, *rows))


def sheet(*tables: tuple[str, Sequence[Sequence[object]]]) -> bytes:
    """A workbook with these sheets."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in tables:
        page = book.create_sheet(name)
        for row in rows:
            page.append(list(row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def quoted(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(rows)
    return out.getvalue()


@dataclass(slots=True, frozen=True)
class File:
    """A file, and what comes of it; `said` must be among what the command says."""

    content: bytes
    taken: dict[str, tuple[str, str, str, str]] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    name: str = "list.csv"
    status: int = 0


UTF16 = table(CHINESE, ROWS, "\t")
FILES = {
    "1 UTF-8": File(table(CHINESE, ROWS).encode(), TAKEN, ("UTF-8, 逗号",)),
    "2 UTF-8 with a mark": File(table(CHINESE, ROWS).encode("utf-8-sig"), TAKEN, ("UTF-8 (BOM)",)),
    "3 GBK": File(table(CHINESE, ROWS).encode("gbk"), TAKEN, ("GB18030, 逗号",)),
    "4 GB18030 with a rare character": File(
        table(CHINESE, [(*ROWS[0][:2], "𠮷野家公司", *ROWS[0][3:])]).encode("gb18030"),
        {"xn--fsqu00a.cn": ("filed", "京ICP备30000001号-1", "𠮷野家公司", "unit")},
        ("GB18030",),
    ),
    "5 UTF-16 with tabs, as Excel's Unicode text": File(
        UTF16.encode("utf-16"), TAKEN, ("UTF-16, 制表符",), name="list.txt"
    ),
    "6 UTF-16 of the other order, without a mark": File(
        UTF16.encode("utf-16-be"), TAKEN, ("UTF-16, 制表符",)
    ),
    "7 semicolons": File(table(CHINESE, ROWS, ";").encode(), TAKEN, ("分号 / semicolon",)),
    "8 full-width commas, in GBK": File(
        table(CHINESE, ROWS, "，").encode("gbk"), TAKEN, ("全角逗号 / full-width comma",)
    ),
    "9 full-width letters and digits": File(
        table(
            ("域名", "备案号", "主体名称"),
            [("ａ．ｃｎ", "京ＩＣＰ备３０００００03号－1", "甲公司"), PLAIN[1]],
        ).encode(),
        PLAIN_TAKEN,
    ),
    "10 rows with another separator than the header": File(
        (table(CHINESE[:3], [PLAIN[0]]) + "，".join(PLAIN[1]) + "\n").encode(), PLAIN_TAKEN
    ),
    "11 put together from UTF-8 and GBK": File(
        table(CHINESE[:3], [PLAIN[0]]).encode() + ",".join(PLAIN[1]).encode("gbk") + b"\n",
        PLAIN_TAKEN,
        ("GB18030 + UTF-8",),
    ),
    "12 xlsx with a title, remarks and numbers": File(
        sheet(
            (
                "备案",
                [
                    ["某某云备案清单"],
                    ["导出时间", "2026-11-28"],
                    [*CHINESE[:3], "证件号码", "备注"],
                    [*PLAIN[0], 110101199001010.0, "老客户"],
                    [],
                    [*PLAIN[1], "91110000MA0000000X", None],
                ],
            )
        ),
        PLAIN_TAKEN,
        ("工作表 / sheet '备案'", "未使用的列：备注"),
        name="清单.xlsx",
    ),
    "13 xlsx whose list is on the second sheet": File(
        sheet(("说明", [["请勿修改"]]), ("数据", [CHINESE[:3], *PLAIN])),
        PLAIN_TAKEN,
        ("sheet '数据'",),
        name="list.xlsx",
    ),
    "14 headers with remarks and marks": File(
        table(("* 网站 域名（必填）", "ICP备案号(含序号)：", "【主体】单位名称"), PLAIN).encode(),
        PLAIN_TAKEN,
    ),
    "15 addresses of pages for domains": File(
        table(
            ("首页网址", "备案号", "主办单位名称"),
            [("https://a.cn/index.html", *PLAIN[0][1:]), ("b.cn/", *PLAIN[1][1:])],
        ).encode(),
        PLAIN_TAKEN,
    ),
    "16 everything quoted, a line break in a cell": File(
        quoted(
            [("域名", "备案号", "主体名称", "备注"), (*PLAIN[0], "第一行\n第二行"), (*PLAIN[1], "")]
        ).encode(),
        PLAIN_TAKEN,
    ),
    "17 faults, told in the file's own words": File(
        table(
            CHINESE,
            [
                *ROWS,
                ("com.cn", "京ICP备30000005号-1", "丙公司", "企业", "正常"),
                ("c.cn", "京ICP备1号", "丙公司", "企业", "正常"),
                ("d.cn", "京ICP备30000006号-1", "", "企业", "正常"),
                ("e.cn", "京ICP备30000007号-1", "丁公司", "外星人", "正常"),
                ("f.cn", "京ICP备30000008号-1", "戊公司", "企业", "不知道"),
                ("g.cn", "京ICP备30000009号-1"),
            ],
        ).encode("gbk"),
        TAKEN,
        (
            "第 4 行“网站域名”列：域名“com.cn”不能备案",
            "line 5, column '网站备案/许可证号': licence number '京ICP备1号'",
            "第 6 行“主办单位名称”列：缺少“主办单位名称”",
            "line 7, column '主办单位性质': 主办单位性质 is not valid",
            "第 8 行“接入状态”列",
            "第 9 行：2 列，应为 5 列",
        ),
    ),
    "18 names below registrable ones": File(
        table(CHINESE[:3], [("www.a.cn", *PLAIN[0][1:]), PLAIN[1]]).encode(),
        {"www.a.cn": PLAIN_TAKEN["a.cn"], "b.cn": PLAIN_TAKEN["b.cn"]},
        ("第 2 行“网站域名”列：www.a.cn 应按 a.cn 备案", "加 --registrable 则改为可备案域名"),
    ),
    "19 no header": File(
        table(PLAIN[0], PLAIN[1:]).encode("gbk"),
        {},
        ("找不到表头：前 10 行中没有“域名”列", "there is no header"),
        status=1,
    ),
    "20 no subject": File(
        table(("域名", "备案号", "联系人"), PLAIN).encode(),
        {},
        ("表头缺少：主体名称；现有表头：域名、备案号、联系人",),
        status=1,
    ),
    "21 no spreadsheet at all": File(
        b"PK\x03\x04 and so on", {}, ("无法读取的电子表格",), name="list.xlsx", status=1
    ),
    "22 two columns that mean the same": File(
        table(("域名", "网站域名", "备案号"), [("a.cn", "b.cn", "京ICP备30000003号-1")]).encode(),
        {},
        ("表头的 域名、网站域名 含义相同，请只保留一列",),
        status=1,
    ),
}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., click.testing.Result]:
    """The registry's commands on an empty database."""
    migrated(str(tmp_path / "registry.db")).close()
    runner = click.testing.CliRunner(env={"GATE_REGISTRY_DB": str(tmp_path / "registry.db")})

    def run(*args: str) -> click.testing.Result:
        result = runner.invoke(commands, args, catch_exceptions=False)
        assert isinstance(result, click.testing.Result)
        return result

    return run


def on_record(folder: Path) -> dict[str, tuple[str, str, str, str]]:
    database = Database(str(folder / "registry.db"))
    with database.read() as connection:
        found = find_filings(connection, FilingQuery(), after="", limit=100)
    database.close()
    return {
        row.domain: (
            row.status,
            row.licence,
            row.subject.name if row.subject else "",
            str(row.subject.kind) if row.subject else "",
        )
        for row in found
    }


@pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())
def test_a_clerks_file_is_imported(
    run: Callable[..., click.testing.Result], tmp_path: Path, file: File
) -> None:
    path = tmp_path / file.name
    path.write_bytes(file.content)
    result = run("import", str(path))
    for text in file.said:
        assert text in result.output
    assert on_record(tmp_path) == file.taken
    # 1: taken, but for refused lines; 2: nothing was taken.
    refused = bool(file.taken) and ", 0 refused" not in result.stdout
    assert result.exit_code == (2 * file.status or refused), result.output
    # Given again, it is known already.
    if file.status == 0:
        again = run("import", str(path))
        assert "0 taken" in again.output or "on record already" in again.output
        assert on_record(tmp_path) == file.taken


def test_names_below_are_taken_as_the_registrable_one_if_that_is_said(
    run: Callable[..., click.testing.Result], tmp_path: Path
) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(FILES["18 names below registrable ones"].content)
    result = run("import", str(path), "--registrable")
    assert result.exit_code == 0, result.output
    assert "1 个名称已改为可备案域名" in result.output
    assert on_record(tmp_path) == PLAIN_TAKEN


def test_the_report_has_the_lists_own_rows_and_columns(
    run: Callable[..., click.testing.Result], tmp_path: Path
) -> None:
    path, report = tmp_path / "list.csv", tmp_path / "report.csv"
    path.write_bytes(FILES["17 faults, told in the file's own words"].content)
    run("import", str(path), "--report", str(report))
    rows = list(csv.DictReader(io.StringIO(report.read_text(encoding="utf-8-sig"))))
    assert [int(row["line"]) for row in rows] == [4, 5, 6, 7, 8, 9]
    assert rows[0]["zh"].startswith("第 4 行“网站域名”列：")


def test_what_a_registry_exports_is_taken_as_it_is(
    run: Callable[..., click.testing.Result], tmp_path: Path
) -> None:
    path, kept = tmp_path / "list.csv", tmp_path / "kept.csv"
    path.write_bytes(FILES["3 GBK"].content)
    run("import", str(path))
    assert run("export", "--output", str(kept)).exit_code == 0
    result = run("import", str(kept))
    assert result.exit_code == 0
    assert "2 on record already" in result.output


@pytest.mark.parametrize(
    ("header", "meaning"),
    [
        ("网站域名", "domain"),
        (" 域 名 ", "domain"),
        ("Domain Name", "domain"),
        ("网站备案/许可证号", "licence"),
        ("ＩＣＰ备案号", "licence"),
        ("主办单位名称", "subject"),
        ("主体性质", "subject_kind"),
        ("统一社会信用代码", "certificate"),
        ("网站名称", "service"),
        ("备注", ""),
        ("", ""),
    ],
)
def test_a_header_means_what_people_mean_by_it(header: str, meaning: str) -> None:
    assert column_of(header, 0).field == meaning


@given(st.binary(max_size=400))
def test_whatever_bytes_come_they_are_read_or_refused(data: bytes) -> None:
    try:
        found = read_file(data)
        rows = list(found.rows)
    except ListError:
        return
    assert all(row.number >= 1 for row in rows)


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z]{1,8}\.cn", fullmatch=True), st.text("公司某", min_size=1))
    ),
    st.sampled_from(["utf-8", "utf-8-sig", "gb18030", "utf-16"]),
    st.sampled_from([",", ";", "，", "\t"]),
)
def test_each_encoding_and_separator_reads_alike(
    rows: list[tuple[str, str]], encoding: str, separator: str
) -> None:
    text = table(("域名", "主体名称"), rows, separator)
    found = read_file(text.encode(encoding))
    assert [(row.values["domain"], row.values["subject"]) for row in found.rows] == rows
