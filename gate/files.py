"""Replacing a file in one step: who reads it sees the old one or the new one, each whole.

The new content is written to a draft in the same folder, goes to the disk, and takes the file's
name by `rename` (POSIX: atomic). A draft that is not put in place is removed; one that a killed
process has left behind is hidden, named after its file, and of no meaning.

A program's own files of state are read by `restored`: what is damaged never stops who reads it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, TypeVar

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

MALFORMED: Final = (
    ValueError,  # no JSON, not UTF-8, a text that is no number
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,  # Infinity, where a whole number stands
    RecursionError,  # brackets without end
)
"""What comes of reading JSON that is none, or that has another shape than was written."""

PRIVATE: Final = 0o600
"""For its owner alone: personal data, secrets, and whatever nobody else has to read."""
PUBLIC: Final = 0o644


class Draft:
    """A file on its way: write to `file`, then `put` it in place."""

    def __init__(self, file: IO[bytes], name: Path) -> None:
        self.file = file
        self.name = name
        self._is_synced = False

    def sync(self) -> None:
        """Bring what was written to the disk. Raises OSError."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self._is_synced = True

    def put(self, path: Path, *, durable: bool = True) -> None:
        """Let the draft take the place of `path`, which is in its folder.

        Without `durable` nothing waits for the disk: the file is whole for every process, but may
        be lost with the machine's power. Raises OSError; `path` is as it was then.
        """
        if durable and not self._is_synced:
            self.sync()
        self.file.flush()
        os.replace(self.name, path)
        if durable:
            _sync_folder(path.parent)


@contextlib.contextmanager
def draft(folder: Path, stem: str, *, mode: int = PRIVATE) -> Iterator[Draft]:
    """Open a draft in `folder`, its name beginning with `stem`; it is gone if it was not put.

    `mode` is the file's from the start, whatever the umask. Raises OSError.
    """
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=stem, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            yield Draft(file, Path(name))
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def replace_file(
    path: Path, content: bytes | str, *, mode: int = PRIVATE, durable: bool = True
) -> None:
    """Replace the file `path`, or make it, with `content` (text in UTF-8).

    Raises OSError; the file is as it was then.
    """
    data = content.encode() if isinstance(content, str) else content
    with draft(path.parent, f".{path.name}.", mode=mode) as new:
        new.file.write(data)
        new.put(path, durable=durable)


def restored(path: Path, take: Callable[[Any], _T], otherwise: str) -> _T | None:
    """Return what `take` makes of the JSON in a file of state; None if there is no such file.

    `take` changes nothing before it returns. A file that is damaged, or has another shape, is set
    aside as NAME.bad, for a person to look at, and told of together with `otherwise`, what happens
    now; so is one that cannot be read, which stays. Then None is returned, too.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("%s cannot be read: %s; %s", path, error.strerror, otherwise)
        return None
    try:
        return take(json.loads(data))
    except MALFORMED as error:
        why = f"{type(error).__name__}: {error}"
    aside = path.with_suffix(".bad")
    try:
        path.replace(aside)
    except OSError as error:
        _log.warning("%s is damaged (%s); %s (%s)", path, why, otherwise, error.strerror)
    else:
        _log.warning("%s is damaged (%s); it is kept as %s, %s", path, why, aside, otherwise)
    return None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
