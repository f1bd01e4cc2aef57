"""Says what is wrong with a header block that the grammar refused.

Runs only after a refusal, so it is written for clear words rather than speed.
"""

import re

from gate.wire.http1.grammar import BARE_LINE_END, FIELD_TEXT, TOKEN

_CONTROL = re.compile(rb"[^" + FIELD_TEXT[1:-1] + rb"]")


def bare_line_end(text: bytes | bytearray, start: int = 0) -> str | None:
    """Describes the first line end in text that is not CRLF, if there is one."""
    found = BARE_LINE_END.search(text, start)
    if found is None:
        return None
    kind = "LF" if found[0] == b"\n" else "CR"
    return f"bare {kind} in the head: lines end with CRLF"


def what_is_wrong(block: bytes) -> str:
    """Return one line on the first bad field line of block."""
    bare = bare_line_end(block + b"\r\n")
    if bare:
        return bare
    for number, line in enumerate(block.split(b"\r\n")[1:], 1):
        where = f"field line {number}"
        name, colon, value = line.partition(b":")
        if line[:1] in (b" ", b"\t"):
            return f"{where} starts with whitespace: obs-fold is refused"
        if not colon:
            return f"{where} has no colon: {line[:40]!r}"
        if not name:
            return f"{where} has an empty name"
        if name[-1:] in (b" ", b"\t"):
            return f"{where} has whitespace before the colon: {line[:40]!r}"
        if not TOKEN.fullmatch(name):
            return f"{where} has a name that is not a token: {name[:40]!r}"
        control = _CONTROL.search(value)
        if control:
            return (
                f"{where} ({name[:40].decode()}) has the control byte {control[0]!r} in its value"
            )
    return "header block is malformed"
