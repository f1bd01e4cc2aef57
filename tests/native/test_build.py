"""The build: with a compiler the modules are in the wheel, without one the wheel is a pure one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what a wheel is built from, with one module to compile."""
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    native = tmp_path / "gate" / "native"
    native.mkdir(parents=True)
    for name in ("__init__.py", "hello.pyx", "hello.pxd", "hello.pyi"):
        shutil.copy(ROOT / "gate" / "native" / name, native / name)
    (tmp_path / "gate" / "__init__.py").touch()
    return tmp_path


def build(tree: Path, **env: str) -> tuple[list[str], str]:
    """What is in the wheel, and what the build said."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"],
        cwd=tree,
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    (wheel,) = (tree / "dist").glob("*.whl")
    return [wheel.name, *ZipFile(wheel).namelist()], done.stderr


def test_without_a_compiler_the_wheel_is_pure_and_the_build_says_what_that_costs(
    tree: Path,
) -> None:
    (wheel, *names), said = build(tree, CC="/nowhere/cc")
    assert wheel.endswith("py3-none-any.whl")
    assert not [name for name in names if name.endswith((".so", ".pyx", ".c"))]
    assert "the native data plane was not compiled" in said
    assert "apt-get install gcc" in said


def test_without_a_compiler_a_build_that_asks_for_one_fails(tree: Path) -> None:
    with pytest.raises(RuntimeError, match="nowhere"):
        build(tree, CC="/nowhere/cc", NATIVE_BUILD="require")


@pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler")
def test_the_wheel_carries_the_compiled_modules_and_no_sources_of_them(tree: Path) -> None:
    (wheel, *names), _ = build(tree, NATIVE_BUILD="require")
    assert not wheel.endswith("any.whl")
    native = [name for name in names if name.startswith("gate/native/hello")]
    assert sorted(Path(name).suffix for name in native) == [".pyi", ".so"]


def test_what_was_compiled_goes_when_it_is_switched_off(tree: Path) -> None:
    left = tree / "gate" / "native" / "hello.cpython-311-x86_64-linux-gnu.so"
    left.touch()
    (wheel, *_), said = build(tree, NATIVE_BUILD="off")
    assert wheel.endswith("any.whl")
    assert not left.exists()
    assert said.count("gate:") == 0
