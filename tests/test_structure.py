"""The house rules that can be checked: one name for one class, one error root, no import circle,
not of modules and not of folders."""

from __future__ import annotations

import ast
import re
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
FOLDERS = sorted(
    ".".join(path.parent.relative_to(ROOT).parts) for path in GATE.rglob("__init__.py")
)


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


def layered(*containers: str) -> list[str]:
    """What the layers of a contract name; without containers that of the whole program."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (
        item
        for item in settings["tool"]["importlinter"]["contracts"]
        if item["type"] == "layers" and tuple(item.get("containers", ())) == containers
    )
    return sorted(
        name.strip().removeprefix("gate.")
        for layer in contract["layers"]
        for name in layer.split("|")
    )


def test_the_layers_name_every_module_at_the_top() -> None:
    assert layered() == TOP_LEVEL


def test_the_registrys_layers_name_each_of_its_folders() -> None:
    folders = {path.parent.name for path in (GATE / "registry").glob("*/__init__.py")}
    assert folders <= set(layered("gate.registry"))


@cache
def imports() -> dict[str, frozenset[str]]:
    """What each module and package imports itself, for types too."""
    graph = grimp.build_graph("gate", cache_dir=None)
    return {
        name: frozenset(graph.find_modules_directly_imported_by(name)) for name in graph.modules
    }


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """The nodes that go in a circle, and those that lead to one."""
    left = set(arrows)
    while leaves := {name for name in left if not arrows[name] & left}:
        left -= leaves
    return sorted(left)


def test_no_import_goes_in_a_circle_not_even_one_for_types() -> None:
    arrows = {name: set(imported) for name, imported in imports().items()}
    assert circle(arrows) == [], "these import each other, or what does"


@pytest.mark.parametrize("package", FOLDERS)
def test_no_folder_of_a_package_goes_in_a_circle_with_its_neighbours(package: str) -> None:
    """What stands side by side in a folder, modules and folders, has an order of its own."""
    parent = re.compile(rf"({re.escape(package)}\.\w+)(\..+)?")
    arrows: defaultdict[str, set[str]] = defaultdict(set)
    for name, imported in imports().items():
        if inside := parent.fullmatch(name):
            found = (parent.fullmatch(other) for other in imported)
            arrows[inside[1]] |= {other[1] for other in found if other} - {inside[1]}
    assert circle(arrows) == [], "these import each other, or what does"
