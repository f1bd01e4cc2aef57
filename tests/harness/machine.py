"""A machine of its own: this one's root under an overlay, booted by systemd in a container.

What is done in it leaves no trace here. It has no network but a loopback of its own once it is
booted; commands that run before the boot share this machine's.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.harness.tools import require

_WALK: Final = """\
[Unit]
Description=What the test does on the machine
After=basic.target
[Service]
Type=oneshot
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
WorkingDirectory={folder}
ExecStart=/bin/bash -e /walk.sh
StandardOutput=file:/walk.out
StandardError=inherit
TimeoutStartSec=120
ExecStopPost=/bin/sh -c 'echo $EXIT_STATUS >/walk.status; systemctl --no-block --force poweroff'
"""
_TARGET: Final = """\
[Unit]
Requires=basic.target walk.service
AllowIsolate=yes
"""
_CHECKOUT: Final = Path(__file__).parents[2]


class Machine:
    """An overlay of this machine's root, or of another one's, mounted while the context is open."""

    def __init__(self, folder: Path, below: Path = Path("/")) -> None:
        self._folder = folder
        self._below = below
        self.root = folder / "root"

    def __enter__(self) -> Self:
        for name in ("upper", "work", "root"):
            (self._folder / name).mkdir(parents=True)
        upper, work = self._folder / "upper", self._folder / "work"
        options = f"lowerdir={self._below},upperdir={upper},workdir={work}"
        subprocess.run(
            [require("mount"), "-t", "overlay", "overlay", "-o", options, str(self.root)],
            check=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        subprocess.run([require("umount"), "--lazy", str(self.root)], check=True)

    def run(self, *command: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a command before the boot, in `folder`, with this machine's network."""
        return self._container("--pipe", f"--chdir={folder}", "--", *command, seconds=300)

    def pod(
        self,
        *command: str,
        binds: Mapping[str, Path],
        namespace: str,
        environ: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Return the command line of a container with a read-only root.

        `binds` are folders by their path inside, `namespace` is a named network namespace. Rights
        that it is not to have are the command's to give up.
        """
        for inside in binds:
            (self.root / inside.lstrip("/")).mkdir(parents=True, exist_ok=True)
        return [
            *self._nspawn(),
            "--pipe",
            "--read-only",
            "--capability=CAP_NET_ADMIN",  # nspawn's own rule is not to give it
            f"--network-namespace-path=/run/netns/{namespace}",
            "--setenv=PATH=/opt/gate/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            *(f"--setenv={name}={value}" for name, value in (environ or {}).items()),
            f"--bind-ro={_CHECKOUT}",  # wherever it stands: a container has a /tmp of its own
            *(f"--bind={outside}:{inside}" for inside, outside in binds.items()),
            "--",
            *command,
        ]

    def boot(self, script: str, *, folder: Path) -> tuple[int, str]:
        """Boot, run a shell script as root in `folder`, power off; return its status and output."""
        units = self.root / "etc/systemd/system"
        (units / "walk.service").write_text(_WALK.format(folder=folder))
        (units / "walk.target").write_text(_TARGET)
        (self.root / "walk.sh").write_text(script)
        self._container("--private-network", "--boot", "systemd.unit=walk.target", seconds=400)
        output = (self.root / "walk.out").read_text(errors="replace")
        return int((self.root / "walk.status").read_text()), output

    def _nspawn(self) -> list[str]:
        return [
            require("systemd-nspawn"),
            "--quiet",
            "--register=no",
            "--keep-unit",
            f"--directory={self.root}",
        ]

    def _container(self, *arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._nspawn(), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
