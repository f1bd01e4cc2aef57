"""Compiles gate/native beside its sources: for a wheel, an editable install, and `make setup`.

Without a C compiler the build goes on and the product runs on its Python data plane. Set
NATIVE_BUILD=require to fail instead (as the Dockerfile does), NATIVE_BUILD=off to compile nothing,
NATIVE_FLAGS to add options for the compiler and the linker, NATIVE_CHECKS=1 to have
every index checked.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
OPTIONS = ("-O2", "-g1", "-fno-strict-aliasing", "-Wno-sign-compare")
WITHOUT = (
    "gate: the native data plane was not compiled ({reason}). The Python data plane does the "
    "same and costs two to four times the CPU. To have it: apt-get install gcc libc6-dev "
    "python3-dev, then make setup."
)


class NativeBuildHook(BuildHookInterface[Any]):
    """Puts the compiled modules into the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and mark the wheel as one for this platform if there is something in it."""
        if self.target_name == "wheel" and build():
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            build_data["artifacts"].append("gate/native/*.so")


def build() -> bool:
    """Compile what has changed; whether there is a native plane now."""
    wanted = os.environ.get("NATIVE_BUILD", "auto")
    for stale in ROOT.glob("gate/native/*.so"):
        source = stale.with_name(stale.name.partition(".")[0] + ".pyx")
        if wanted == "off" or not source.exists():
            stale.unlink()
    if wanted == "off":
        return False
    try:
        compile_in_place(sorted(ROOT.glob("gate/native/*.pyx")))
    except Exception as error:
        if wanted == "require":
            raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        print(WITHOUT.format(reason=reason[-1]), file=sys.stderr)
        return False
    return True


def compile_in_place(paths: Sequence[Path]) -> None:
    """Compile those sources below this folder that have changed.

    Raises whatever the compilers raise.
    """
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    flags = os.environ.get("NATIVE_FLAGS", "").split()
    checks = os.environ.get("NATIVE_CHECKS") == "1"
    os.chdir(ROOT)
    sources = [path.relative_to(ROOT) for path in paths]
    extensions = cythonize(
        [
            Extension(
                ".".join(source.with_suffix("").parts),
                [str(source)],
                extra_compile_args=[*OPTIONS, *flags],
                extra_link_args=flags,
            )
            for source in sources
        ],
        build_dir=".build",
        quiet=True,
        force=bool(flags or checks),
        compiler_directives={"boundscheck": checks, "wraparound": False, "cdivision": True},
    )
    command = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
    command.inplace = True
    command.build_lib = command.build_temp = ".build"
    command.force = bool(flags or checks)
    command.parallel = os.cpu_count()
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    sys.exit(not build())
