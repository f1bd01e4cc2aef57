"""The HTTP/1 grammar, written once as regular expressions over bytes.

Each expression is matched against whole lines or whole header blocks. A header
block here is what lies between the start line and the empty line, with the CRLF
in front of each field line and none at the end: `\\r\\nHost: a\\r\\nAccept: */*`.
Quantifiers are possessive where two neighbours could compete for a byte, so that
no input makes the matcher backtrack.
"""

import re
from functools import cache

# RFC 9110 5.6.2: token
TCHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
TOKEN = re.compile(TCHAR + rb"++")

# RFC 9110 5.5: field values are VCHAR, SP, HTAB and obs-text (0x80-0xff).
FIELD_TEXT = rb"[\t\x20-\x7e\x80-\xff]"


# RFC 9112 5, without obs-fold and without whitespace before the colon.
_FIELD_LINE = rb"\r\n" + TCHAR + rb"++:" + FIELD_TEXT + rb"*+"


@cache
def header_block(max_fields: int) -> re.Pattern[bytes]:
    """Matches a whole header block of at most max_fields lines."""
    return re.compile(rb"(?:%b){0,%d}+" % (_FIELD_LINE, max_fields))


@cache
def request_block(max_fields: int) -> re.Pattern[bytes]:
    """As header_block, and takes off what most clients send first.

    Group 1 is the value of Host, group 2 is there if `Connection: keep-alive` follows,
    group 3 is the rest. A Host that is not in front, or is more than an LDH name with a
    usual port, stays in the rest and is looked at there, as is any other Connection.
    The rest has at most max_fields lines.
    """
    return re.compile(
        rb"(?:\r\n[Hh]ost:[ \t]*+([0-9A-Za-z.-]++(?::[1-5]?+[0-9]{0,4}+)?+)(?=\r\n|\Z))?+"
        rb"(\r\n[Cc]onnection: [Kk]eep-[Aa]live(?=\r\n|\Z))?+"
        rb"((?:%b){0,%d}+)" % (_FIELD_LINE, max_fields)
    )


# Request targets: every visible ASCII byte but "#" (a fragment never leaves a
# client, RFC 9112 3.2). Stricter URI grammar (RFC 3986) would refuse the "|", "{" and "^"
# that browsers do send. Bytes from 0x80 are let through unchanged: curl sends a query as it
# was typed, nginx 1.22, Apache 2.4 and Go 1.19 accept them (Node 20 answers 400), and no such
# byte delimits anything.
TARGET_BYTE = rb"[\x21\x22\x24-\x7e\x80-\xff]"
# The common request line, with its line end in sight. Methods that are refused are left
# to request_line.py, and so is every other form. Group 3 is there for HTTP/1.0 only.
ORIGIN_LINE = re.compile(
    rb"(?!CONNECT |TRACE )(" + TCHAR + rb"++) (/" + TARGET_BYTE + rb"*+) HTTP/1\.(?:1|(0))(?=\r\n)"
)
ANY_LINE = re.compile(
    rb"(?P<method>" + TCHAR + rb"++) (?P<target>" + TARGET_BYTE + rb"++)"
    rb"(?: HTTP/(?P<major>[0-9])\.(?P<minor>[0-9]))?"
)
# RFC 9112 3.2.2: absolute-form; only http and https name something the gate serves.
ABSOLUTE = re.compile(rb"(?i:(https?)://)([^/?]*)(.*)")

# RFC 9112 4, but whitespace of any length separates, and what stands before an absent reason
# may be absent too: origins are so. RFC 9110 2.5: a higher minor version is read like 1.1.
STATUS_LINE = re.compile(
    rb"HTTP/1\.([0-9])[ \t]++([1-9][0-9]{2})(?:[ \t](" + FIELD_TEXT + rb"*+))?+"
)

# RFC 9110 4.2.1 and 7.2: uri-host [ ":" port ]. Names are judged by gate.names;
# here only what can never be part of one host is refused. Bytes from 0x80 are
# UTF-8 names, sent raw by some clients.
AUTHORITY = re.compile(
    rb"(\[[0-9A-Fa-f:.]++\]|[^\x00-\x20\x7f\"#,/:<>?@\[\\\]^`{|}]++)(?::([0-9]{0,5}+))?"
)

# RFC 9110 8.6 sets no limit; what counts in 63 bits is enough, and never overflows an origin.
MAX_LENGTH = 2**63 - 1
DIGITS = re.compile(rb"[0-9]{1,19}+")

# A line end that is not exactly CRLF; a CR at the very end may yet become one.
BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?![\n])(?!\Z)")
