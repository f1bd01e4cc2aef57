"""The replica's one record about itself, stored in the same transaction as what it describes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Final

from gate.filings import Position
from gate.replica.errors import NewEpoch, OldEpoch, ReplicaCorrupt, RevisionGap

FORMAT: Final = 1
_EPOCHS_KEPT: Final = 64


@dataclass(slots=True, frozen=True)
class State:
    """`active` is the set (0 or 1) that lookups read; `max_labels` bounds their walk."""

    active: int = 0
    epoch: str | None = None
    revision: int = 0
    updated_at: float = 0.0
    count: int = 0
    max_labels: int = 0
    overrides_version: int = 0
    past_epochs: tuple[str, ...] = ()
    format: int = FORMAT

    @property
    def position(self) -> Position | None:
        if self.epoch is None:
            return None
        return Position(self.epoch, self.revision, self.updated_at)

    def check_batch(self, epoch: str, from_revision: int, to_revision: int) -> None:
        """Make sure that a batch of changes fits.  Raises PositionError's kinds."""
        if to_revision < from_revision:
            raise RevisionGap(
                f"the batch goes backwards, from revision {from_revision} to {to_revision}",
                self.position,
            )
        if epoch in self.past_epochs:
            raise OldEpoch(
                f"epoch {epoch!r} is over; the replica follows {self.epoch!r}", self.position
            )
        if epoch != self.epoch and not (self.epoch is None and from_revision == 0):
            raise NewEpoch(
                f"the replica follows epoch {self.epoch!r}, not {epoch!r}: load a snapshot first",
                self.position,
            )
        if from_revision != self.revision:
            raise RevisionGap(
                f"the batch starts at revision {from_revision}, the replica stands at "
                f"{self.revision}: send what lies between",
                self.position,
            )

    def check_snapshot(self, epoch: str, revision: int) -> None:
        """Make sure that a whole set is not older than what is here."""
        if epoch in self.past_epochs:
            raise OldEpoch(
                f"epoch {epoch!r} is over; the replica follows {self.epoch!r}", self.position
            )
        if epoch == self.epoch and revision < self.revision:
            raise RevisionGap(
                f"the snapshot is of revision {revision}, the replica stands at {self.revision}",
                self.position,
            )

    def moved(self, epoch: str, revision: int, now: float) -> State:
        """Return the state after a batch or snapshot; leaving an epoch closes it for good."""
        past = self.past_epochs
        if self.epoch is not None and epoch != self.epoch:
            past = (*past, self.epoch)[-_EPOCHS_KEPT:]
        return replace(self, epoch=epoch, revision=revision, updated_at=now, past_epochs=past)


def encode_state(state: State) -> bytes:
    return json.dumps(asdict(state)).encode()


def decode_state(value: bytes, path: str) -> State:
    """Raises ReplicaCorrupt for anything but what this version wrote."""
    try:
        fields = json.loads(value)
        if fields["format"] != FORMAT:
            raise ReplicaCorrupt(
                f"replica {path} has format {fields['format']}, this gate reads {FORMAT}: "
                "set it aside and sync again"
            )
        return State(**{**fields, "past_epochs": tuple(fields["past_epochs"])})
    except (ValueError, TypeError, KeyError) as error:
        raise ReplicaCorrupt(f"replica {path}: its state record is damaged ({error})") from error
