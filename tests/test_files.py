"""Replacing a file in one step."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gate.files import PUBLIC, draft, replace_file


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("content", ["京ICP备12345678号\n", b"\x00\xff", ""])
@pytest.mark.parametrize("durable", [True, False])
def test_the_new_content_takes_the_place_of_the_old(
    tmp_path: Path, content: str | bytes, durable: bool
) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")
    replace_file(path, content, durable=durable)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert os.listdir(tmp_path) == ["state.json"]


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_file_is_for_its_owner_alone_unless_it_is_said_to_be_public(
    tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        replace_file(tmp_path / "private", "a")
        replace_file(tmp_path / "public", "b", mode=PUBLIC)
    finally:
        os.umask(before)
    assert (_mode(tmp_path / "private"), _mode(tmp_path / "public")) == (0o600, 0o644)


def test_a_reader_of_the_old_file_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("old")
    with path.open() as reader:
        replace_file(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_a_draft_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("old")

    def half() -> None:
        with draft(tmp_path, "list-") as new:
            new.file.write(b"half")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["list"]


def test_a_draft_is_private_while_it_is_written(tmp_path: Path) -> None:
    with draft(tmp_path, "list-") as new:
        (beside,) = tmp_path.glob("list-*")
        assert _mode(beside) == 0o600
        new.file.write(b"all")
        new.put(tmp_path / "list")
    assert (tmp_path / "list").read_bytes() == b"all"


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "none" / "state.json", "a")
