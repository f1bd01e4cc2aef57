"""The filed set on this machine: exact, revisioned, crash-safe, shared by all processes.

One process writes (the sync agent, or an import), any number read.  Every lookup opens a
read transaction of its own, so a commit is seen at once by every process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import lmdb

from gate.filings import Change, Filing, Override, Position, Status
from gate.names import InvalidName, check_domain, check_host_name
from gate.replica import endings, loading
from gate.replica.difference import Check
from gate.replica.environment import MAP_SIZE, Environment, verify
from gate.replica.errors import BadChange, NewEpoch
from gate.replica.records import (
    FILED,
    FILED_ELSEWHERE,
    REVOKED,
    STATUS_MASK,
    SUSPENDED,
    TOMBSTONE,
    decode,
    decode_override,
    digest,
    encode,
    encode_override,
)
from gate.replica.state import State

LOCAL_EPOCH: Final = "local"
"""The epoch of a replica that was filled by imports only and follows no registry."""


_DECISIVE: Final = (FILED, SUSPENDED)
_WEAK: Final = (FILED_ELSEWHERE, REVOKED)


@dataclass(slots=True, frozen=True)
class Info:
    """Sizes in bytes; `records` counts tombstones, `count` does not."""

    path: Path
    position: Position | None
    count: int
    records: int
    overrides: int
    file_bytes: int
    set_bytes: int
    map_bytes: int
    readers: int


class Replica:
    """See the module.  Open it after a fork, once in a process."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._begin = environment.lmdb.begin
        self._names = environment.sets[0]
        self._seen = -1
        self._max_dots = 0
        self._overrides_version = -1
        self.current_overrides: Mapping[str, Override] = {}
        """The operator's overrides as of the last `find`; never changed in place."""

    @classmethod
    def open(
        cls, path: Path | str, *, writable: bool, map_size: int = MAP_SIZE, full_check: bool = False
    ) -> Self:
        """Open the replica in the directory `path`; a writable one is made if it is missing.

        `full_check` walks the whole file first (see `verify`).
        Raises ReplicaMissing, ReplicaCorrupt, ReplicaBusy, ReplicaUnusable.
        """
        path = Path(path)
        if full_check and (path / "data.mdb").exists():
            verify(path)
        return cls(Environment(path, writable=writable, map_size=map_size))

    @property
    def path(self) -> Path:
        return self._environment.path

    def replaced(self) -> bool:
        """Was the replica set aside, and another one put in its place, since it was opened?"""
        return self._environment.replaced()

    def close(self) -> None:
        self._environment.lmdb.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Reading

    def find(self, name: bytes) -> tuple[int, bytes] | None:
        """Return what decides for a canonical `name`: where its domain starts in it, and its value.

        The walk goes up the labels and ends at the nearest record that is filed or
        suspended.  A filing covers all names below it, so a record below it that is only
        filed elsewhere or revoked decides nothing; where no filing covers the name, the
        nearest `filed_elsewhere` tells the reason, else the nearest `revoked`.
        """
        weak: tuple[int, bytes] | None = None
        try:
            txn = self._begin(self._names)
            if txn.id() != self._seen:
                txn = self._snapshot()
            get = txn.get
            start = 0
            surplus = name.count(b".") - self._max_dots
            while surplus > 0:
                start = name.find(b".", start) + 1
                surplus -= 1
            dot = name.find(b".", start)
            while dot != -1:
                value = get(name[start:])
                if value is not None:
                    status = value[0] & STATUS_MASK
                    if status in _DECISIVE:
                        return start, value
                    if status not in _WEAK:
                        raise self._environment.damaged(f"{name[start:]!r} has no known status")
                    if weak is None or (
                        status == FILED_ELSEWHERE and weak[1][0] & STATUS_MASK == REVOKED
                    ):
                        weak = start, value
                start = dot + 1
                dot = name.find(b".", start)
        except lmdb.MapResizedError:
            self._snapshot()
            return self.find(name)
        except lmdb.Error as error:
            raise self._environment.translate(error, "read") from error
        return weak

    def _snapshot(self) -> lmdb.Transaction[bytes]:
        """Return a read transaction on the active set of the last commit."""
        begin = self._environment.begin
        txn = begin(self._names)
        while txn.id() != self._seen:
            self._notice(txn)
            txn = begin(self._names)
        return txn

    def _notice(self, txn: lmdb.Transaction[bytes]) -> None:
        """Take over what a commit may have changed beside the names themselves."""
        state = self._environment.state(txn)
        if state.overrides_version != self._overrides_version:
            self.current_overrides = self._read_overrides(txn)
            self._overrides_version = state.overrides_version
        self._names = self._environment.sets[state.active]
        self._max_dots = max(state.max_labels - 1, 0)
        self._seen = txn.id()

    def refresh(self) -> None:
        """Bring `current_overrides` up to the last commit."""
        self._snapshot()

    def lookup(self, name: str | bytes) -> Filing | None:
        """Return the filing that decides for a canonical name (see `find`), or None."""
        key = name.encode() if isinstance(name, str) else name
        found = self.find(key)
        return None if found is None else self._decode(key[found[0] :].decode(), found[1])

    def get(self, domain: str) -> Filing | None:
        """Return the record of exactly this domain; a revoked one has the status REVOKED."""
        value = self._snapshot().get(domain.encode())
        return None if value is None else self._decode(domain, value)

    def _decode(self, domain: str, value: bytes) -> Filing:
        try:
            return decode(domain, value)
        except ValueError as error:
            raise self._environment.damaged(str(error)) from error

    def _state(self) -> State:
        return self._environment.state(self._environment.begin(self._environment.sets[0]))

    def position(self) -> Position | None:
        """Epoch and revision of the last commit; None if nothing was ever synced or loaded."""
        return self._state().position

    def count(self) -> int:
        """Records other than tombstones."""
        return self._state().count

    def has_ever_held(self) -> bool:
        """Return whether the set has any record, if only of a domain that was filed once."""
        with self._environment.begin(self._environment.sets[0]) as txn:
            names = self._environment.sets[self._environment.state(txn).active]
            return bool(txn.stat(names)["entries"])

    def items(self, *, revoked: bool = False) -> Iterator[Filing]:
        """All filings of one commit in the order of their domains, tombstones if asked for."""
        txn = self._snapshot()
        for key, value in txn.cursor(self._names):
            if revoked or value[0] & STATUS_MASK != REVOKED:
                yield self._decode(key.decode(), value)

    def digest(self) -> str:
        """SHA-256 of the set as `gate.replica.digest` defines it."""
        return digest(self.items())

    def info(self) -> Info:
        environment = self._environment
        state = self._state()
        with environment.begin(environment.sets[state.active]) as txn:
            names = txn.stat(environment.sets[state.active])
            overrides = txn.stat(environment.overrides)
        pages = names["branch_pages"] + names["leaf_pages"] + names["overflow_pages"]
        sizes = environment.lmdb.info()
        return Info(
            path=self.path,
            position=state.position,
            count=state.count,
            records=names["entries"],
            overrides=overrides["entries"],
            file_bytes=environment.file_bytes(),
            set_bytes=pages * names["psize"],
            map_bytes=sizes["map_size"],
            readers=sizes["num_readers"],
        )

    # Writing

    def apply(
        self, changes: Iterable[Change], *, epoch: str, from_revision: int, to_revision: int
    ) -> None:
        """Apply one batch of a registry's log: all of it is on the disk, or none.

        Raises RevisionGap (also for a repeat: compare `have`), OldEpoch, NewEpoch, BadChange,
        ReplicaFull.
        """
        records = [_record(change) for change in changes]

        def work(txn: lmdb.Transaction[bytes]) -> None:
            state = self._environment.state(txn)
            state.check_batch(epoch, from_revision, to_revision)
            self._put(txn, state.moved(epoch, to_revision, time.time()), records)

        self._environment.transact(work)

    def edit(self, changes: Iterable[Change]) -> None:
        """Apply local changes to a replica that follows no registry.

        Raises NewEpoch if it follows one: the registry is the place for them then.
        """
        records = [_record(change) for change in changes]

        def work(txn: lmdb.Transaction[bytes]) -> None:
            state = self._environment.state(txn)
            self._check_local(state)
            self._put(txn, state.moved(LOCAL_EPOCH, state.revision + 1, time.time()), records)

        self._environment.transact(work)

    def load(
        self,
        filings: Iterable[Filing],
        *,
        epoch: str,
        revision: int,
        progress: loading.Progress | None = None,
        check: Check | None = None,
    ) -> None:
        """Replace the whole set by sorted `filings` in one switch; see `gate.replica.loading`."""
        loading.load(
            self._environment,
            filings,
            epoch=epoch,
            revision=revision,
            now=time.time(),
            progress=progress,
            check=check,
        )

    def check_local(self) -> None:
        """Make sure that the set may be changed here.  Raises NewEpoch where a registry does."""
        self._check_local(self._state())

    def load_local(
        self,
        filings: Iterable[Filing],
        *,
        progress: loading.Progress | None = None,
        check: Check | None = None,
    ) -> None:
        """Replace the whole set of a replica that follows no registry.  Raises NewEpoch."""
        state = self._state()
        self._check_local(state)
        self.load(
            filings,
            epoch=LOCAL_EPOCH,
            revision=state.revision + 1,
            progress=progress,
            check=check,
        )

    def _check_local(self, state: State) -> None:
        if state.epoch not in (None, LOCAL_EPOCH):
            raise NewEpoch(
                f"the replica at {self.path} follows the registry epoch {state.epoch!r}: "
                "make the change in the registry",
                state.position,
            )

    def _put(
        self,
        txn: lmdb.Transaction[bytes],
        state: State,
        records: list[tuple[bytes, bytes | None]],
    ) -> None:
        """Write records (None: absent) and the state; `state` still has the old count."""
        count = state.count
        max_labels = state.max_labels
        with txn.cursor(self._environment.sets[state.active]) as cursor:
            for key, value in records:
                old = cursor.get(key)
                was = old is not None and old[0] & STATUS_MASK != REVOKED
                if value is not None:
                    cursor.put(key, value)
                    self._note_end(txn, key, value)
                    max_labels = max(max_labels, key.count(b".") + 1)
                    count += not was
                elif was:
                    cursor.put(key, TOMBSTONE)
                    count -= 1
        self._environment.put_state(txn, replace(state, count=count, max_labels=max_labels))

    # What ends by itself

    def _note_end(self, txn: lmdb.Transaction[bytes], key: bytes, value: bytes) -> None:
        end = endings.key_of(key, value)
        if end is not None:
            txn.put(end, b"", db=self._environment.ends)

    def next_end(self) -> int | None:
        """Return the Unix time at which a record ends next; only for who writes."""
        ends = self._environment.ends
        return endings.first(self._environment.begin(ends), ends)

    def ending(self, now: float) -> dict[str, Status]:
        """Return what ends by `now`, and what each domain is from then on; for who writes."""
        ends = self._environment.ends
        found: dict[str, Status] = {}
        for _, domain in endings.due(self._environment.begin(ends), ends, now):
            value = self._snapshot().get(domain)
            end = None if value is None else endings.ending_of(value)
            if end is not None and end.until <= now:
                found[domain.decode()] = end.status
        return found

    def end(self, now: float) -> None:
        """Make what ends by `now` what it is from then on; the position stays. Raises ReplicaFull.

        The registry's own change, whenever it comes, says the same or what has changed since.
        """

        def work(txn: lmdb.Transaction[bytes]) -> None:
            state = self._environment.state(txn)
            names, ends = self._environment.sets[state.active], self._environment.ends
            count = state.count
            for key, domain in endings.due(txn, ends, now):
                txn.delete(key, db=ends)
                value = txn.get(domain, db=names)
                end = None if value is None else endings.ending_of(value)
                if end is not None and end.until <= now:
                    txn.put(domain, end.record(), db=names)
                    count -= end.status is Status.ABSENT
            self._environment.put_state(txn, replace(state, count=count))

        self._environment.transact(work)

    # The operator's overrides

    def overrides(self) -> dict[str, Override]:
        """Return all overrides of the last commit by domain, ended ones too."""
        return self._read_overrides(self._environment.begin(self._environment.overrides))

    def _read_overrides(self, txn: lmdb.Transaction[bytes]) -> dict[str, Override]:
        return {
            key.decode(): decode_override(value)
            for key, value in txn.cursor(self._environment.overrides)
        }

    def set_override(self, override: Override) -> None:
        """Store an override, in place of one that the domain already has."""
        key = _override_key(override.domain)
        value = encode_override(override)

        def work(txn: lmdb.Transaction[bytes]) -> None:
            txn.put(key, value, db=self._environment.overrides)
            self._bump_overrides(txn)

        self._environment.transact(work)

    def remove_override(self, domain: str) -> bool:
        """Forget a domain's override; False if it had none."""
        key = _override_key(domain)

        def work(txn: lmdb.Transaction[bytes]) -> bool:
            removed = txn.delete(key, db=self._environment.overrides)
            if removed:
                self._bump_overrides(txn)
            return removed

        return self._environment.transact(work)

    def _bump_overrides(self, txn: lmdb.Transaction[bytes]) -> None:
        state = self._environment.state(txn)
        self._environment.put_state(
            txn, replace(state, overrides_version=state.overrides_version + 1)
        )


def _record(change: Change) -> tuple[bytes, bytes | None]:
    """Return a change as key and value, checked.  Raises BadChange."""
    key = _key(change.domain)
    if change.status is Status.ABSENT:
        return key, None
    if change.status is Status.REVOKED:
        raise BadChange(change.domain, "a change says absent, not revoked")
    try:
        return key, encode(change.status, change.licence)
    except ValueError as error:
        raise BadChange(change.domain, str(error)) from error


def _key(domain: str) -> bytes:
    """Return a filed domain as a key; only canonical names are.  Raises BadChange."""
    return _checked(check_domain, domain)


def _override_key(name: str) -> bytes:
    """Return the same for what is exempted or suspended: any name that a host is judged by."""
    return _checked(check_host_name, name)


def _checked(check: Callable[[str], None], name: str) -> bytes:
    try:
        check(name)
    except InvalidName as error:
        raise BadChange(name, error.reason) from error
    return name.encode()
