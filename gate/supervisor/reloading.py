"""Writes down what came of the last reload, for `gate reload` and the admin API."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path


def note_reload(
    path: Path, born: int, *, taken: bool, problems: Iterable[str] = (), kept: Iterable[str] = ()
) -> None:
    """Keep the result in the file `path`; `born` tells this run of the gate from any other.

    Without room on the disk the result is in the log alone.
    """
    result = {
        "born": born,
        "at": datetime.now(UTC).isoformat(),
        "taken": taken,
        "problems": list(problems),
        "kept": list(kept),
    }
    beside = path.with_suffix(".new")
    with contextlib.suppress(OSError):
        beside.write_text(json.dumps(result, ensure_ascii=False), encoding="utf-8")
        beside.replace(path)
