"""The HTTP/1 grammar, written once as regular expressions over bytes.

Each expression is matched against whole lines or whole header blocks. A header
block here is what lies between the start line and the empty line, with the CRLF
in front of each field line and none at the end: `\\r\\nHost: a\\r\\nAccept: */*`.
Quantifiers are possessive where two neighbours could compete for a byte, so that
no input makes the matcher backtrack.
"""

import re

# RFC 9110 5.6.2: token
TCHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
TOKEN = re.compile(TCHAR + rb"++")

# RFC 9110 5.5: field values are VCHAR, SP, HTAB and obs-text (0x80-0xff).
FIELD_TEXT = rb"[\t\x20-\x7e\x80-\xff]"

# RFC 9112 5, without obs-fold and without whitespace before the colon.
HEADER_BLOCK = re.compile(rb"(?:\r\n" + TCHAR + rb"++:" + FIELD_TEXT + rb"*+)*+")

# Request targets: every visible ASCII byte but "#" (a fragment never leaves a
# client, RFC 9112 3.2). Stricter URI grammar (RFC 3986) would refuse the "|", "{"
# and "^" that browsers do send. Bytes from 0x80 are let through unchanged: curl
# sends a path as it was typed, and browsers in IE mode send query strings in raw
# GBK; nginx, Apache and Go accept both, and no such byte delimits anything.
TARGET_BYTE = rb"[\x21\x22\x24-\x7e\x80-\xff]"
ORIGIN_LINE = re.compile(rb"(" + TCHAR + rb"++) (/" + TARGET_BYTE + rb"*+) HTTP/1\.([01])")
ANY_LINE = re.compile(
    rb"(?P<method>" + TCHAR + rb"++) (?P<target>" + TARGET_BYTE + rb"++)"
    rb"(?: HTTP/(?P<major>[0-9])\.(?P<minor>[0-9]))?"
)
# RFC 9112 3.2.2: absolute-form; only http and https name something the gate serves.
ABSOLUTE = re.compile(rb"(?i:(https?)://)([^/?]*)(.*)")

# RFC 9112 4, but the space before an absent reason is optional: origins omit it.
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: (" + FIELD_TEXT + rb"*+))?")

# RFC 9110 4.2.1 and 7.2: uri-host [ ":" port ]. Names are judged by gate.names;
# here only what can never be part of one host is refused. Bytes from 0x80 are
# UTF-8 names, sent raw by some clients.
AUTHORITY = re.compile(
    rb"(\[[0-9A-Fa-f:.]++\]|[^\x00-\x20\x7f\"#,/:<>?@\[\\\]^`{|}]++)(?::([0-9]{0,5}+))?"
)

DIGITS = re.compile(rb"[0-9]{1,19}+")

# A line end that is not exactly CRLF; a CR at the very end may yet become one.
BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?![\n])(?!\Z)")
