"""Which tests start programs or serve a registry, and so are left out of `make check`.

A test starts programs if it stands in one of FOLDERS, or if it is marked with `programs`, itself or
by its module. Any other test that starts one fails in `make check`, so that what takes seconds goes
on doing so. A test with one of FIXTURES has a registry served over HTTP, if within its own process;
one that serves it itself is marked.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

MARK = "programs"
FOLDERS = frozenset(
    {
        "benchmarks",
        "bypass",
        "e2e",
        "faults",
        "hostile",
        "hosts",
        "ops",
        "soak",
        "supervisor",
        "udp",
    }
)
"""Folders of `tests` that are about running programs: gates, registries, servers, browsers."""

FIXTURES = frozenset({"api", "lite_api", "pushed"})
"""What gives a test a registry that is served."""

_ROOT = Path(__file__).parent.parent
_MODULE_MARK = re.compile(rf"^pytestmark = .*\bpytest\.mark\.{MARK}\b", re.MULTILINE)
_forbidden_for: str | None = None
_watching = False


def mark(items: list[pytest.Item]) -> None:
    """Mark the tests that stand in FOLDERS or have one of FIXTURES."""
    for item in items:
        in_folder = item.path.relative_to(_ROOT).parts[0] in FOLDERS
        if in_folder or not FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(MARK)


def left_out(path: Path) -> bool:
    """Return whether every test of a file starts programs, without importing the file."""
    if not (path.name.startswith("test_") and path.suffix == ".py"):
        return False
    in_folder = path.relative_to(_ROOT).parts[0] in FOLDERS
    return in_folder or _MODULE_MARK.search(path.read_text()) is not None


@contextmanager
def none_started(test: pytest.Item) -> Iterator[None]:
    """Within this block a test that is not marked fails if it starts a program."""
    global _forbidden_for, _watching
    if test.get_closest_marker(MARK) is not None:
        yield
        return
    if not _watching:
        sys.addaudithook(_watch)  # stays for the life of the process
        _watching = True
    _forbidden_for = test.nodeid
    try:
        yield
    finally:
        _forbidden_for = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen" and _forbidden_for is not None:
        raise AssertionError(
            f"{_forbidden_for} starts {arguments[0]}: mark it with pytest.mark.{MARK} "
            f"(see {Path(__file__).relative_to(_ROOT.parent)})"
        )
