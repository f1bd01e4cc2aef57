"""A process of its own on a replica, driven by the tests of several processes.

python -m tests.replica.child batches PATH   apply batches without end, say each one's revision
python -m tests.replica.child loads PATH     load sets without end, say each one's revision
python -m tests.replica.child reads PATH     answer each domain on standard input
python -m tests.replica.child holds PATH     keep a read transaction open until killed
python -m tests.replica.child fills PATH N   apply batches until a file may not pass N bytes
"""

from __future__ import annotations

import itertools
import resource
import sys
from collections.abc import Iterator

from gate.filings import Change, Filing, Status
from gate.replica import Replica, ReplicaFull

BATCH = 200
"""Domains in a batch; each batch writes all of them anew, so that half a batch would show."""
SET = 60_000
"""Domains in a loaded set: more than one transaction takes."""


def batch(revision: int) -> list[Change]:
    """The batch that leads to `revision`: every licence tells it."""
    return [
        Change(f"d{number}.com", Status.FILED, f"京ICP备{revision}号-{number + 1}")
        for number in range(BATCH)
    ]


def loaded_set(revision: int) -> Iterator[Filing]:
    """The set of `revision`; an odd one and an even one share half of their domains."""
    start = SET // 2 * (revision % 2)
    for number in range(start, start + SET):
        yield Filing(f"n{number:06d}.com", Status.FILED, f"京ICP备{revision}号")


def say(text: object) -> None:
    print(text, flush=True)


def apply_batches(replica: Replica) -> None:
    position = replica.position()
    start = 0 if position is None else position.revision
    for revision in itertools.count(start + 1):
        replica.apply(batch(revision), epoch="e", from_revision=revision - 1, to_revision=revision)
        say(revision)


def load_sets(replica: Replica) -> None:
    position = replica.position()
    start = 0 if position is None else position.revision
    for revision in itertools.count(start + 1):
        replica.load(loaded_set(revision), epoch="e", revision=revision)
        say(revision)


def answer(replica: Replica) -> None:
    say("ready")
    for line in sys.stdin:
        filing = replica.lookup(line.strip())
        say("none" if filing is None else f"{filing.domain} {filing.status.value}")


def tell_overrides(replica: Replica) -> None:
    for _ in sys.stdin:
        replica.refresh()
        say(" ".join(sorted(replica.current_overrides)))


def hold(replica: Replica) -> None:
    items = replica.items()
    say(next(items).domain)
    sys.stdin.read()
    say(next(items).domain)


def fill(replica: Replica, limit: int) -> None:
    """Python ignores SIGXFSZ, so that the write fails as it does on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    for revision in itertools.count(1):
        changes = [Change(f"r{revision}-{n}.com", Status.FILED) for n in range(BATCH)]
        try:
            replica.apply(changes, epoch="e", from_revision=revision - 1, to_revision=revision)
        except ReplicaFull as error:
            say(f"full {revision - 1} {error}")
            break
    assert replica.lookup("r1-0.com") is not None
    assert replica.lookup(f"r{revision}-0.com") is None


def main(task: str, path: str, *arguments: str) -> None:
    with Replica.open(path, writable=task in {"batches", "loads", "fills"}) as replica:
        match task:
            case "batches":
                apply_batches(replica)
            case "loads":
                load_sets(replica)
            case "reads":
                answer(replica)
            case "overrides":
                tell_overrides(replica)
            case "holds":
                hold(replica)
            case "fills":
                fill(replica, int(arguments[0]))
            case _:
                raise SystemExit(f"unknown task {task!r}")


if __name__ == "__main__":
    main(*sys.argv[1:])
