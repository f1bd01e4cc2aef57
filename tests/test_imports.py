"""No module of the gate imports itself by a detour, not even for its types alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import gate

ROOT = Path(gate.__file__).parent


def modules() -> dict[str, Path]:
    """Return every module of the gate by its dotted name; a package stands for its __init__."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of the gate that one imports, wherever in it the import stands.

    That a package's __init__ runs before any module in it is no import of that module's.
    """
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.rsplit(".", node.level - 1)[0]
                base = f"{above}.{base}" if base else above
            for alias in node.names:
                module = f"{base}.{alias.name}"
                if module in known:
                    yield module
                elif base in known:
                    yield base


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of some circle in their order, or nothing."""
    done: set[str] = set()
    for start in graph:
        way: list[str] = []
        pending: list[tuple[str, Iterator[str]]] = []
        if start not in done:
            way.append(start)
            pending.append((start, iter(sorted(graph[start]))))
        while pending:
            name, following = pending[-1]
            for other in following:
                if other in way:
                    return [*way[way.index(other) :], other]
                if other not in done:
                    way.append(other)
                    pending.append((other, iter(sorted(graph[other]))))
                    break
            else:
                pending.pop()
                way.pop()
                done.add(name)
    return []


def test_a_circle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set[str]()}
    assert circle(graph) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set[str]()}) == []


def test_imports_are_found_wherever_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "c.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "import gate.names\n"
        "from . import d\n"
        "from gate.policy import decider, Verdict\n"
        "if TYPE_CHECKING:\n    from gate.logs import setup\n"
        "def f():\n    from .e import x\n"
    )
    known = dict.fromkeys(
        ["gate.names", "gate.logs", "gate.policy", "gate.policy.decider", "gate.a.d", "gate.a.e"],
        path,
    )
    assert set(imports("gate.a.c", path, known)) == set(known)


def test_there_is_no_import_circle_in_the_gate() -> None:
    known = modules()
    graph = {name: set(imports(name, path, known)) for name, path in known.items()}
    found = circle(graph)
    assert not found, "these import each other: " + " -> ".join(found)
