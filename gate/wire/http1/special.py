"""Cuts a header block at the fields that mean something to the gate."""

import re


def special_fields(names: bytes) -> re.Pattern[bytes]:
    """Matches one field line with one of the names (expressions, space between them).

    Group 1 is the name, group 2 the value without the whitespace in front. The names are
    sorted by first letter, which lets the matcher pass by most other lines at one glance.
    """
    by_letter: dict[bytes, list[bytes]] = {}
    for name in names.split():
        by_letter.setdefault(name[:1], []).append(name[1:])
    alternatives = b"|".join(
        b"[%b%b](?i:%b)" % (letter, letter.upper(), b"|".join(rests))
        for letter, rests in by_letter.items()
    )
    return re.compile(rb"\r\n(%b):[ \t]*+([^\r]*+)" % alternatives)


def take_out(special: re.Pattern[bytes], block: bytes) -> tuple[dict[bytes, bytes], bytes]:
    """Values of the special fields by lower-case name, and the block without them.

    Values of a name that comes several times are joined with a comma (RFC 9110 5.3),
    empty ones as well: a second Host or Content-Length always shows.
    """
    # Text, then name, value and text again for each special field.
    parts = special.split(block)
    values: dict[bytes, bytes] = {}
    if len(parts) == 1:
        return values, block
    for index in range(1, len(parts), 3):
        name = parts[index].lower()
        value = parts[index + 1].rstrip(b" \t")
        values[name] = b"%b, %b" % (values[name], value) if name in values else value
    return values, b"".join(parts[::3])
