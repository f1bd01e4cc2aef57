"""The words on the wire of NATS that registry and gates share.

Messages in the stream are signed batches; the headers repeat where a batch belongs, so that a
gate finds its own revision without reading all. Nobody trusts them: a wrong one ends in a gap,
which is fetched from the registry. Beside the stream, on SUBJECT.alive, the registry says now and
then where its log stands (a signed batch without changes).
"""

from __future__ import annotations

from typing import Final

from gate.settings import Nats

EPOCH_HEADER: Final = "Gate-Epoch"
REVISION_HEADER: Final = "Gate-Revision"
ALIVE_SECONDS: Final = 5.0


def alive_subject(settings: Nats) -> str:
    """Return where the registry's signs of life are sent."""
    return f"{settings.subject}.alive"
