"""The file of routes in the hands of the control process: which line, which file, what is kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from gate.control.operators import routes as module
from gate.control.operators.routes import (
    OWN_FILE,
    BadSet,
    NoRoutesFile,
    Routes,
    RoutesUnreadable,
    RoutesUnwritable,
)
from gate.control.workers import Workers
from gate.files import Draft
from gate.settings import stamp_of_routes

ONE = "http=10.0.0.1:80"
TWO = "http=10.0.0.2:80"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "routes.d"
    folder.mkdir()
    (folder / "a.routes").write_text(f"a.cn {ONE}\n# Two.\nb.cn {ONE}\n")
    return folder


def routes(path: Path | None) -> Routes:
    return Routes(path, Workers(0))


async def test_without_a_file_it_says_what_to_set() -> None:
    with pytest.raises(NoRoutesFile, match="set it to a file or folder"):
        await routes(None).all()


async def test_in_a_folder_a_route_is_changed_where_it_stands(folder: Path) -> None:
    made = routes(folder)
    assert (await made.put("b.cn", TWO)).file == folder / "a.routes"
    assert (await made.put("c.cn", ONE)).file == folder / OWN_FILE
    assert (await made.remove("a.cn")) is not None
    assert (folder / "a.routes").read_text() == f"# Two.\nb.cn {TWO}\n"
    assert (folder / OWN_FILE).read_text() == f"c.cn {ONE}\n"
    assert [(r.match, r.line) for r in await made.all()] == [("b.cn", 2), ("c.cn", 1)]
    assert await made.all() == await routes(folder).all()


async def test_in_a_folder_a_whole_new_set_takes_the_place_of_its_own_file(folder: Path) -> None:
    made = routes(folder)
    await made.put("c.cn", ONE)
    done = await made.replace(f"d.cn {ONE}\n")
    assert (done.added, done.changed, done.removed, done.total) == (1, 0, 1, 3)
    assert {route.match for route in await made.all()} == {"a.cn", "b.cn", "d.cn"}
    with pytest.raises(BadSet, match=r"line 2: b.cn stands in line 3 of .*a.routes already"):
        await made.replace(f"d.cn {ONE}\nb.cn {TWO}\n")
    assert (folder / OWN_FILE).read_text() == f"d.cn {ONE}\n"


async def test_what_somebody_else_writes_is_seen(folder: Path) -> None:
    made = routes(folder)
    assert await made.get("z.cn") is None
    (folder / "z.routes").write_text(f"z.cn {ONE}\n")
    found = await made.get("z.cn")
    assert found is not None
    assert found.file == folder / "z.routes"
    (folder / "z.routes").write_text("z.cn\n")
    with pytest.raises(RoutesUnreadable, match=r"z.routes: line 1: no address.*mend the file"):
        await made.put("y.cn", ONE)


async def test_the_file_behind_a_link_is_changed_and_keeps_its_mode(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text(f"a.cn {ONE}")  # no line end
    target.chmod(0o640)
    link.symlink_to(target)
    await routes(link).put("b.cn", TWO)
    assert target.read_text() == f"a.cn {ONE}\nb.cn {TWO}\n"
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640


async def test_a_file_that_cannot_be_written_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, os.strerror(13))

    made = routes(folder)
    with monkeypatch.context() as patched:
        patched.setattr(module, "draft", denied)
        with pytest.raises(RoutesUnwritable, match=r"a.routes cannot be written: Permission"):
            await made.put("b.cn", TWO)
    found = await made.get("b.cn")
    assert found is not None
    assert found.words == ONE


async def test_a_change_by_somebody_else_at_the_same_moment_is_not_lost(folder: Path) -> None:
    made, file = routes(folder), folder / "a.routes"
    known = await made._load()
    file.write_text(f"a.cn {TWO}\n")  # after the look, and before the write
    with pytest.raises(RoutesUnreadable, match="changed by somebody else at this moment"):
        made._write(known, file, f"b.cn {ONE}\n")
    assert file.read_text() == f"a.cn {TWO}\n"


async def test_what_somebody_else_writes_right_behind_a_change_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamp that is told is not that of what nobody here has read."""
    made, own_put, stamps = routes(folder), Draft.put, []

    def put_and_be_followed(new: Draft, path: Path) -> None:
        own_put(new, path)
        (folder / "z.routes").write_text(f"z.cn {ONE}\n")

    async def note(kind: str, fields: Mapping[str, str]) -> None:
        stamps.append(fields["stamp"])

    monkeypatch.setattr(made._workers, "take_up", note)
    with monkeypatch.context() as patched:
        patched.setattr(Draft, "put", put_and_be_followed)
        await made.put("b.cn", TWO)
    assert stamps != [stamp_of_routes(folder)]
    assert {route.match for route in await made.all()} == {"a.cn", "b.cn", "z.cn"}
    await made.put("b.cn", ONE)  # with nobody behind it, the stamp is what the workers will see
    assert stamps[1:] == [stamp_of_routes(folder)]
