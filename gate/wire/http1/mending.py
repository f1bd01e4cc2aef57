"""Puts a response head right where its lines can be read in one way only.

Origins are many and old, and RFC 9112 lets a proxy mend what is done here, before anything is
read from the head: a line may end with LF alone (2.2), whitespace before a colon is removed
(5.1), a folded line is unfolded (5.2), and a control byte in a value becomes a space (RFC 9110
5.5). Runs only for heads that are not in good form.
"""

import re

from gate.wire.http1.grammar import TCHAR

# What is mended has LF in front of each field line, and no other line ends.
_FOLD = re.compile(rb"(?<=[^\n])\n[ \t]++")
_SPACE_BEFORE_COLON = re.compile(rb"(\n" + TCHAR + rb"++)[ \t]++:")
_VALUE = re.compile(rb"(\n(?:((?i:content-length|transfer-encoding))|" + TCHAR + rb"++):)([^\n]*+)")
_REASON = re.compile(rb"(?<=[0-9]{3}[ \t])[^\n]++")
_CONTROLS = bytes((*range(9), *range(10, 32), 127))
_CONTROL = re.compile(b"[%b]" % re.escape(_CONTROLS.replace(b"\n", b"")))
_TO_SPACE = bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS))
# Where a body ends must not depend on what somebody takes a control byte for.
_TO_NO_VALUE = bytes.maketrans(_CONTROLS, b"?" * len(_CONTROLS))


def mended(raw: bytes) -> tuple[bytes, bytes]:
    """Return the status line and the header block of a whole head, as far as they can be mended.

    The block is as grammar.py has it, CRLF in front of each line. What is wrong with it beyond
    mending is still in it.
    """
    text = raw.replace(b"\r\n", b"\n")
    line, _, _ = text.partition(b"\n")
    block = _SPACE_BEFORE_COLON.sub(rb"\1:", _FOLD.sub(b" ", text[len(line) : -2]))
    if _CONTROL.search(block):
        block = _VALUE.sub(_without_controls, block)
    line = _REASON.sub(lambda found: found[0].translate(_TO_SPACE), line, 1)
    return line, block.replace(b"\n", b"\r\n")


def _without_controls(found: re.Match[bytes]) -> bytes:
    name, framing, value = found.groups()
    return name + value.translate(_TO_NO_VALUE if framing else _TO_SPACE)
