"""`POST /v1/imports` takes lists as clerks have them, and tells of them in their own words."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.lists.test_clerks_files import FILES, PLAIN, PLAIN_TAKEN, File, on_record, sheet, table
from tests.registry.conftest import Api, serving

BYTES = {"Content-Type": "application/octet-stream"}


async def upload(api: Api, content: bytes, query: str = "") -> tuple[int, dict[str, Any]]:
    """The answer to an upload whose media type says nothing."""
    response = await api.call("POST", f"/v1/imports?name=list{query}", data=content, headers=BYTES)
    return response.status, response.json()


async def refusals(api: Api, digest: str) -> list[dict[str, Any]]:
    await api.service.jobs.finished(digest)
    found = await api.call("GET", f"/v1/imports/{digest}/refusals")
    items: list[dict[str, Any]] = found.json()["items"]
    return items


@pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())
async def test_a_clerks_file_is_taken_by_its_content(
    lite_api: Api, tmp_path: Path, file: File
) -> None:
    status, answer = await upload(lite_api, file.content)
    if file.status:
        assert (status, answer["code"][-8:]) in ((422, "_invalid"), (422, "readable"))
        told = [answer["zh"], answer["en"]]
    else:
        assert status == 202
        told = [answer["read_as"], *answer["remarks"]]
        for row in await refusals(lite_api, answer["digest"]):
            told += [row["zh"], row["en"]]
    for text in file.said:
        assert any(text in one for one in told), told
    assert on_record(tmp_path) == file.taken


async def test_a_dry_run_tells_the_same(lite_api: Api, tmp_path: Path) -> None:
    file = FILES["17 faults, told in the file's own words"]
    status, preview = await upload(lite_api, file.content, "&dry_run=true")
    assert (status, preview["read_as"]) == (200, "GB18030, 逗号 / comma")
    assert [note["line"] for note in sorted(preview["notes"], key=lambda one: one["line"])] == [
        *range(4, 10)
    ]
    assert on_record(tmp_path) == {}
    assert list(lite_api.service.jobs.spool.iterdir()) == []


async def test_the_registrable_names_are_taken_if_that_is_said(
    lite_api: Api, tmp_path: Path
) -> None:
    content = FILES["18 names below registrable ones"].content
    _, answer = await upload(lite_api, content, "&registrable=true")
    assert await refusals(lite_api, answer["digest"]) == []
    assert "1 个名称已改为可备案域名" in "".join(answer["remarks"])
    assert on_record(tmp_path) == PLAIN_TAKEN


async def test_a_row_that_names_several_domains_is_told_of_once(
    lite_api: Api, tmp_path: Path
) -> None:
    header = ("域名", "备案号", "主体名称")
    content = sheet(("备案", [header, ("a.cn com.cn 网.cn net.cn", "京ICP备30000003号-1A", "甲")]))
    _, answer = await upload(lite_api, content)
    (row,) = await refusals(lite_api, answer["digest"])
    assert row["line"] == 2
    assert row["zh"].count("第 2 行“域名”列：") == 2
    assert "com.cn" in row["zh"]
    assert "net.cn" in row["zh"]
    assert sorted(on_record(tmp_path)) == ["a.cn", "xn--ur0a.cn"]


async def test_a_list_that_replaces_is_refused_while_rows_cannot_be_read(
    lite_api: Api, tmp_path: Path
) -> None:
    header = ("域名", "备案号", "主体名称")
    _, answer = await upload(lite_api, table(header, PLAIN).encode("gbk"))
    await refusals(lite_api, answer["digest"])
    spoilt = table(header, [PLAIN[0], ("b.cn",)]).encode("gbk")
    status, answer = await upload(lite_api, spoilt, "&mode=replace&max_shrink=1")
    assert (status, answer["code"]) == (422, "import_unread")
    assert "第 3 行：1 列，应为 3 列" in answer["zh"]
    assert on_record(tmp_path) == PLAIN_TAKEN


@pytest.mark.programs
async def test_a_list_is_gone_on_with_after_a_restart_and_told_by_its_own_rows(
    tmp_path: Path,
) -> None:
    rows = [(f"d{n}.cn", f"京ICP备{10_000_000 + n}号-1", "公司") for n in range(12_000)]
    rows[-1] = ("com.cn", *rows[-1][1:])
    content = table(("网站域名", "网站备案号", "主办单位名称"), rows, "\t").encode("utf-16")
    url = str(tmp_path / "registry.db")
    async with serving(url, tmp_path) as api:
        _, answer = await upload(api, content)
        digest = answer["digest"]
    async with serving(url, tmp_path) as api:
        (row,) = await refusals(api, digest)
        state = (await api.call("GET", f"/v1/imports/{digest}")).json()
        assert (state["state"], state["accepted"], state["lines"]) == ("done", 11_999, 12_001)
        assert row["zh"].startswith("第 12001 行“网站域名”列：")
        assert row["en"].startswith("line 12001, column '网站域名': ")


async def test_a_spreadsheet_that_unpacks_to_very_much_is_refused(lite_api: Api) -> None:
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("xl/worksheets/sheet1.xml", "w") as file,
    ):
        for _ in range(520):
            file.write(bytes(1 << 20))
    status, answer = await upload(lite_api, packed.getvalue())
    assert (status, answer["code"]) == (422, "list_unreadable")
    assert "512 MiB" in answer["en"]
