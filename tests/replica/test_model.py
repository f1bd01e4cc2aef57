"""The replica against a plain dict, through any order of batches, loads, refusals, reopenings."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gate.filings import Change, Filing, Status
from gate.names import parents
from gate.replica import OldEpoch, PositionError, Replica, digest, verify
from tests.harness.examples import examples

LABELS = st.sampled_from(["a", "b", "c-d", "0", "xn--fsqu00a"])
DOMAINS = st.builds(
    lambda labels, end: ".".join([*labels, end]),
    st.lists(LABELS, min_size=1, max_size=4),
    st.sampled_from(["com", "com.cn", "xn--fiqs8s"]),
)
LICENCES = st.sampled_from(
    ["", "京ICP备1号", "粤ICP备2021000001号-12", "沪ICP备05000001号-3A", "B2-2009"]
)
PRESENT = [Status.FILED, Status.FILED_ELSEWHERE, Status.SUSPENDED]
CHANGES = st.builds(Change, DOMAINS, st.sampled_from([*PRESENT, Status.ABSENT]), LICENCES)
FILINGS = st.builds(Filing, DOMAINS, st.sampled_from(PRESENT), LICENCES)


class Store(RuleBasedStateMachine):
    """A replica and the dict that says what it must hold."""

    @initialize()
    def start(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.replica = Replica.open(self.directory / "replica", writable=True)
        self.epochs = ["e0"]
        self.position: tuple[str, int] | None = None
        self.records: dict[str, Filing] = {}

    def teardown(self) -> None:
        if hasattr(self, "replica"):
            self.replica.close()
            verify(self.directory / "replica")
            shutil.rmtree(self.directory)

    @rule(changes=st.lists(CHANGES, max_size=6), ahead=st.integers(1, 5))
    def apply(self, changes: list[Change], ahead: int) -> None:
        epoch, revision = self.position or ("e0", 0)
        self.replica.apply(
            changes, epoch=epoch, from_revision=revision, to_revision=revision + ahead
        )
        self.position = epoch, revision + ahead
        for change in changes:
            if change.status is not Status.ABSENT:
                self.records[change.domain] = Filing(change.domain, change.status, change.licence)
            elif change.domain in self.records:
                self.records[change.domain] = Filing(change.domain, Status.REVOKED)

    @rule(filings=st.lists(FILINGS, max_size=12), new_epoch=st.booleans(), ahead=st.integers(0, 3))
    def load(self, filings: list[Filing], new_epoch: bool, ahead: int) -> None:
        unique = {filing.domain: filing for filing in filings}
        epoch, revision = self.position or ("e0", 0)
        if new_epoch:
            epoch = f"e{len(self.epochs)}"
            self.epochs.append(epoch)
        self.replica.load(
            [unique[domain] for domain in sorted(unique)], epoch=epoch, revision=revision + ahead
        )
        self.position = epoch, revision + ahead
        self.records = {domain: Filing(domain, Status.REVOKED) for domain in self.records} | unique

    @rule(changes=st.lists(CHANGES, max_size=2), off=st.sampled_from([-2, -1, 1, 2]))
    def refuse_a_gap(self, changes: list[Change], off: int) -> None:
        epoch, revision = self.position or ("e0", 0)
        with pytest.raises(PositionError):
            self.replica.apply(
                changes, epoch=epoch, from_revision=revision + off, to_revision=revision + off + 1
            )

    @rule(changes=st.lists(CHANGES, max_size=2))
    def refuse_an_old_epoch(self, changes: list[Change]) -> None:
        if self.position is None:
            return
        for epoch in self.left_behind():
            with pytest.raises(OldEpoch):
                self.replica.apply(
                    changes, epoch=epoch, from_revision=self.position[1], to_revision=99
                )
            with pytest.raises(OldEpoch):
                self.replica.load([], epoch=epoch, revision=99)

    def left_behind(self) -> list[str]:
        assert self.position is not None
        # "e0" was never followed if the first thing was a load of a new epoch.
        return [epoch for epoch in self.epochs[1:] if epoch != self.position[0]]

    @rule()
    def open_again(self) -> None:
        self.replica.close()
        self.replica = Replica.open(self.directory / "replica", writable=True)

    @rule(name=DOMAINS, below=st.lists(LABELS, max_size=3))
    def look_up(self, name: str, below: list[str]) -> None:
        name = ".".join([*below, name])
        above = [self.records[parent] for parent in parents(name) if parent in self.records]
        expected = None
        for wanted in (
            {Status.FILED, Status.SUSPENDED},
            {Status.FILED_ELSEWHERE},
            {Status.REVOKED},
        ):
            expected = next((filing for filing in above if filing.status in wanted), None)
            if expected is not None:
                break
        assert self.replica.lookup(name) == expected

    @invariant()
    def holds_what_the_dict_holds(self) -> None:
        if not hasattr(self, "replica"):
            return
        everything = [self.records[domain] for domain in sorted(self.records)]
        standing = [filing for filing in everything if filing.status is not Status.REVOKED]
        assert list(self.replica.items(revoked=True)) == everything
        assert list(self.replica.items()) == standing
        assert self.replica.count() == len(standing)
        assert self.replica.digest() == digest(standing)
        position = self.replica.position()
        assert (position and (position.epoch, position.revision)) == self.position


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=examples(60), stateful_step_count=25, deadline=None)
