"""Cuts a header block at the fields that mean something to the gate."""

import re


def special_fields(names: bytes) -> re.Pattern[bytes]:
    """Matches one field line whose name is one of the alternatives in `names`.

    It is for blocks in lower case. Group 1 is the name, group 2 the value with the
    whitespace around it.
    """
    return re.compile(rb"\r\n(%b):([^\r]*+)" % names)


def take_out(special: re.Pattern[bytes], block: bytes) -> tuple[dict[bytes, bytes], bytes]:
    """Values of the special fields by lower-case name, and the block without them.

    Values of a name that comes several times are joined with a comma (RFC 9110 5.3),
    empty ones as well: a second Host or Content-Length always shows.
    """
    # Lower case keeps every byte in its place, so positions hold in block as well.
    parts = special.split(block.lower())
    values: dict[bytes, bytes] = {}
    if len(parts) == 1:
        return values, block
    pos = len(parts[0])
    rest = block[:pos]
    for index in range(1, len(parts), 3):
        name = parts[index]
        begin = pos + 3 + len(name)
        end = begin + len(parts[index + 1])
        value = block[begin:end].strip(b" \t")
        values[name] = b"%b, %b" % (values[name], value) if name in values else value
        pos = end + len(parts[index + 2])
        rest += block[end:pos]
    return values, rest
