"""The house rules that can be checked: one name for one class, one error root, no import circle."""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
GATE = ROOT / "gate"
TOP_LEVEL = sorted(
    path.stem
    for path in GATE.iterdir()
    if path.suffix == ".py" or (path / "__init__.py").exists()
    if path.stem != "__init__"
)
PACKAGES = [name for name in TOP_LEVEL if (GATE / name).is_dir()]


@cache
def classes() -> list[tuple[Path, ast.ClassDef]]:
    """Every class of the program, with its file."""
    return [
        (path.relative_to(GATE), node)
        for path in sorted(GATE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]


def test_no_two_classes_have_one_name() -> None:
    found = defaultdict(list)
    for path, node in classes():
        found[node.name].append(str(path))
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


def base_names(node: ast.ClassDef) -> list[str]:
    return [ast.unparse(base) for base in node.bases]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_one_error_root(package: str) -> None:
    """Whoever calls it can catch everything that it raises by one name.

    A private exception never leaves its module; the command line ends by click's.
    """
    roots = [
        node.name
        for path, node in classes()
        if path.parts[0] == package and "Exception" in base_names(node)
        if not node.name.startswith("_")
    ]
    assert len(roots) <= 1, roots


def layers() -> list[set[str]]:
    """The layers of the contract, the highest first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (contract,) = (item for item in contracts if item["type"] == "layers")
    return [
        {name.strip().removeprefix("gate.") for name in layer.split("|")}
        for layer in contract["layers"]
    ]


def test_the_layers_name_every_module_at_the_top() -> None:
    assert sorted(name for layer in layers() for name in layer) == TOP_LEVEL


def test_no_import_goes_in_a_circle_not_even_one_for_types() -> None:
    graph = grimp.build_graph("gate", cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    left = set(imports)
    while leaves := {name for name in left if not imports[name] & left}:
        left -= leaves
    assert sorted(left) == [], "these import each other, or what does"
