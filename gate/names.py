"""Host text to canonical domain name: pure, no I/O, no configuration.

Strategy.  Nearly every host on the wire is plain lower- or upper-case ASCII, and one
regular expression settles it (`_PLAIN`).  Everything else (U-labels, underscores, odd
hyphens, numbers, brackets) takes the strict path, which follows what browsers do, because
a name means what the client that asked for it thinks it means:

* a host that is all ASCII is lower-cased, whatever its A-labels would decode to (URL
  standard, "domain to ASCII"): browsers send `xn--a.example.com` as it stands.  Only what
  is filed needs valid A-labels (`check_fileable`).
* any other host by UTS 46, non-transitional, CheckHyphens off (as in the WHATWG URL
  standard), with the tables of the `idna` library; an A-label in it must survive decoding,
  validation and encoding unchanged.
* a host whose last label is a number is an IPv4 address in one of inet_aton's forms, or
  nothing (WHATWG URL, "ends in a number checker" and "IPv4 parser").
* labels are LDH (RFC 5890 2.3.1) in the part that can be filed; below the registrable
  domain an underscore, or a hyphen at either end, is let through, because such host
  names exist and clients ask for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cache, lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

import idna
from publicsuffixlist import PublicSuffixList

MAX_NAME: Final = 253  # RFC 1035 2.3.4, without the root dot
MAX_LABEL: Final = 63
_MAX_HOST_BYTES: Final = 1024  # U-labels take up to four bytes a character


class NameFault(StrEnum):
    """What is wrong with a name; stable codes for messages in other languages."""

    EMPTY = "empty"
    TOO_LONG = "too_long"
    EMPTY_LABEL = "empty_label"
    LABEL_TOO_LONG = "label_too_long"
    CHARACTER = "character"
    HYPHEN = "hyphen"
    ENCODING = "encoding"
    BAD_IDN = "bad_idn"
    BAD_PORT = "bad_port"
    URL = "url"
    BAD_IP = "bad_ip"
    IS_IP = "is_ip"
    NOT_CANONICAL = "not_canonical"
    TOP_LEVEL = "top_level"
    PUBLIC_SUFFIX = "public_suffix"


class InvalidName(ValueError):
    """A host or domain that is not what it must be.

    `fault` is the stable code, `reason` one short English sentence without the name.
    """

    def __init__(self, fault: NameFault, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault
        self.reason = reason


class Host(NamedTuple):
    """Who a client asked for: a canonical `name` (lower-case A-labels), or an `ip`.

    Exactly one of the two is set: `name` is "" for an IP host.
    """

    name: str
    ip: IPv4Address | IPv6Address | None = None

    @property
    def text(self) -> str:
        """The host as a Host field has it: an IPv6 address in brackets."""
        if self.ip is None:
            return self.name
        return str(self.ip) if self.ip.version == 4 else f"[{self.ip}]"


# A host that is its own canonical name, as most are: labels of lower-case letters, digits and
# hyphens joined by dots, no empty one, no hyphen at an end, and the last begins with a letter, so
# that it is no number. Length is checked apart.
_CANONICAL = re.compile(
    rb"(?:[a-z0-9]++(?:-++[a-z0-9]++)*+\.)*+[a-z][a-z0-9]*+(?:-++[a-z0-9]++)*+"
).fullmatch
# The same in any case, with a dot or a port behind it. A numeric end is checked apart, too.
_PLAIN = re.compile(rb"([a-z0-9]++(?:(?:\.|-++)[a-z0-9]++)*+)\.?+(?::([0-9]{0,5}+))?+").fullmatch
# A whole domain in canonical form without A-labels, its last label no number.
_PLAIN_DOMAIN = re.compile(r"(?:[a-z0-9]+[.-])*[a-z0-9]+\.[a-z](?:-?[a-z0-9])*").fullmatch
_LABEL = re.compile(r"[a-z0-9_-]+").fullmatch
_PORT = re.compile(r"[0-9]{0,5}").fullmatch
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*").fullmatch
_TOO_LONG = f"the name is longer than {MAX_NAME} octets"
_LABEL_TOO_LONG = f"a label is longer than {MAX_LABEL} octets"
_ZERO = ord("0")
_NINE = ord("9")


def canonical(host: bytes) -> Host:
    """Read host text as it came off the wire: a Host field value or an SNI.

    Takes an optional ":port" and one trailing dot, and drops both.
    Raises InvalidName.
    """
    name = plain_name(host)
    return _strict(host) if name is None else Host(name)


def plain_name(host: bytes) -> str | None:
    """Return what `canonical` makes of a host that is nothing but plain; None for any other."""
    if len(host) <= MAX_LABEL and _CANONICAL(host) is not None:
        return host.decode()
    plain = _PLAIN(host.lower())
    if plain is None:
        return None
    name: bytes = plain[1]
    # A label that starts with a digit at the end may be a number, hence an IPv4 address.
    if len(name) > MAX_LABEL or _ZERO <= name[name.rfind(b".") + 1] <= _NINE:
        return None
    if plain.lastindex == 2 and len(plain[2]) == 5 and int(plain[2]) > 65535:
        return None
    return name.decode()


def _strict(host: bytes) -> Host:
    """Return every host that is not plain; see the module's strategy."""
    if not host:
        raise InvalidName(NameFault.EMPTY, "the host is empty")
    if len(host) > _MAX_HOST_BYTES:
        raise InvalidName(NameFault.TOO_LONG, f"the host is longer than {_MAX_HOST_BYTES} bytes")
    try:
        text = host.decode()
    except UnicodeDecodeError as error:
        raise InvalidName(NameFault.ENCODING, "the host is not UTF-8") from error
    if text.startswith("["):
        address, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise InvalidName(NameFault.BAD_IP, "the IPv6 address has no closing bracket")
        _check_port(port[1:])
        return Host("", _ipv6(address))
    if text.count(":") > 1:  # an SNI may hold a bare address (it should not, RFC 6066 3)
        return Host("", _ipv6(text))
    text, _, port = text.partition(":")
    _check_port(port)
    return _name_or_ipv4(_to_ascii(text))


def _check_port(port: str) -> None:
    if not _PORT(port) or (port and int(port) > 65535):
        raise InvalidName(NameFault.BAD_PORT, "the port is not a number from 0 to 65535")


def _ipv6(text: str) -> IPv6Address:
    if "%" in text:
        raise InvalidName(NameFault.BAD_IP, "a zone is not allowed in an IPv6 host")
    try:
        return IPv6Address(text)
    except AddressValueError as error:
        raise InvalidName(NameFault.BAD_IP, "the host is not a valid IPv6 address") from error


def _to_ascii(text: str) -> str:
    """Domain to ASCII, UTS 46 section 4, without checking what LDH labels hold."""
    if text.isascii():
        return text.lower().removesuffix(".")
    try:
        mapped = idna.uts46_remap(text, std3_rules=False).removesuffix(".")
    except (UnicodeError, ValueError) as error:
        raise InvalidName(NameFault.BAD_IDN, f"not a valid IDN: {error}") from error
    # No label gets shorter: leave what must end up too long before the costly checks.
    if len(mapped) > MAX_NAME:
        raise InvalidName(NameFault.TOO_LONG, _TOO_LONG)
    return ".".join([_label_to_ascii(label) for label in mapped.split(".")])


def _label_to_ascii(label: str) -> str:
    """Return a mapped label as an A-label or as it is (UTS 46, 4.1). Raises InvalidName."""
    if len(label) > MAX_LABEL:  # Punycode never makes it shorter, and takes quadratic time
        raise InvalidName(NameFault.LABEL_TOO_LONG, _LABEL_TOO_LONG)
    if label.startswith("xn--"):
        _check_a_label(label)
        return label
    if label.isascii():
        return label
    _check_unicode(label)
    return "xn--" + label.encode("punycode").decode()


@lru_cache(maxsize=4096)  # few labels are asked for often: top-level domains most of all
def _check_a_label(label: str) -> None:
    """An A-label decodes to a valid label that encodes to it again (RFC 5891 section 5.3)."""
    try:
        decoded = label[4:].encode("ascii").decode("punycode")
        encoded = decoded.encode("punycode").decode()
    except (UnicodeError, ValueError, OverflowError) as error:
        raise InvalidName(NameFault.BAD_IDN, f"{label!r} is not Punycode") from error
    if decoded.isascii() or encoded != label[4:] or decoded.startswith("xn--"):
        raise InvalidName(NameFault.BAD_IDN, f"{label!r} is not a true A-label")
    _check_unicode(decoded)


def _check_unicode(label: str) -> None:
    """The validity criteria of UTS 46 section 4.1 for a label with non-ASCII characters."""
    try:
        if idna.uts46_remap(label, std3_rules=False) != label or "." in label:
            raise InvalidName(NameFault.BAD_IDN, "a label changes when it is normalised")
        idna.check_nfc(label)
        idna.check_initial_combiner(label)
        for position, character in enumerate(label):
            if character in "\u200c\u200d" and not idna.valid_contextj(label, position):
                raise InvalidName(NameFault.BAD_IDN, "a joiner stands where none is allowed")
        idna.check_bidi(label)
    except InvalidName:
        raise
    except (UnicodeError, ValueError) as error:
        raise InvalidName(NameFault.BAD_IDN, f"not a valid IDN: {error}") from error


def _name_or_ipv4(name: str) -> Host:
    if not name:
        raise InvalidName(NameFault.EMPTY, "the host is empty")
    if _NUMBER(name[name.rfind(".") + 1 :]):
        return Host("", _ipv4(name))
    if len(name) > MAX_NAME:
        raise InvalidName(NameFault.TOO_LONG, _TOO_LONG)
    loose = False
    for label in name.split("."):
        if not label:
            raise InvalidName(NameFault.EMPTY_LABEL, "the name has an empty label")
        if len(label) > MAX_LABEL:
            raise InvalidName(NameFault.LABEL_TOO_LONG, _LABEL_TOO_LONG)
        if not _LABEL(label):
            raise InvalidName(
                NameFault.CHARACTER, "only letters, digits, hyphens and dots are allowed"
            )
        loose = loose or "_" in label or label[0] == "-" or label[-1] == "-"
    if loose:
        _check_ldh(registrable(name) or name)
    return Host(name)


def _check_ldh(name: str) -> None:
    """The filed part of a name is strict LDH (RFC 5890 2.3.1)."""
    for label in name.split("."):
        if "_" in label:
            raise InvalidName(
                NameFault.CHARACTER, "an underscore is allowed only below the filed domain"
            )
        if label[0] == "-" or label[-1] == "-":
            raise InvalidName(NameFault.HYPHEN, "a label must not start or end with a hyphen")


def _ipv4(text: str) -> IPv4Address:
    """WHATWG URL's IPv4 parser: one to four parts, each decimal, octal or hexadecimal."""
    parts = text.split(".")
    if len(parts) > 4 or not all(_NUMBER(part) for part in parts):
        raise InvalidName(NameFault.BAD_IP, "the host ends in a number and is no IPv4 address")
    try:
        numbers = [_ipv4_number(part) for part in parts]
    except ValueError as error:
        raise InvalidName(NameFault.BAD_IP, "an octal part holds the digit 8 or 9") from error
    last = numbers.pop()
    if any(number > 255 for number in numbers) or last >= 256 ** (4 - len(numbers)):
        raise InvalidName(NameFault.BAD_IP, "a part of the IPv4 address is too large")
    for position, number in enumerate(numbers):
        last += number << (8 * (3 - position))
    return IPv4Address(last)


def _ipv4_number(part: str) -> int:
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    if part.startswith("0"):
        return int(part, 8)
    return int(part[:11])  # more digits than that are too large in any case


def parents(name: str) -> Iterator[str]:
    """Yield the canonical `name` itself, then each parent, while two labels are left.

    A filing of any of them covers `name`.
    """
    dot = name.find(".")
    while dot != -1:
        yield name
        name = name[dot + 1 :]
        dot = name.find(".")


class _Suffixes(PublicSuffixList):
    """The public suffix list as it comes with the library, its ICANN section alone.

    The private section holds registered names whose owners give out names below them
    (`sinaapp.com`): they are filed like any other, and such a filing covers what is below.
    """

    def holds(self, name: str) -> bool:
        """Return what `is_public` says of a name with two labels or more, at a quarter of its cost.

        A rule for all labels of a name is the longest that can match it, so only those
        count: the name itself, a wildcard in place of its first label, and (as the library
        has it) the parent of a wildcard; an exception beats them (publicsuffix.org, Format).
        """
        rules = self._publicsuffix
        if name in rules or "*." + name in rules:
            return "!" + name not in rules
        return "*" + name[name.find(".") :] in rules and "!" + name not in rules


@cache
def _suffixes() -> _Suffixes:
    return _Suffixes(only_icann=True)


def registrable(name: str) -> str | None:
    """Return the registrable domain of a canonical name: public suffix plus one label, or None."""
    return _suffixes().privatesuffix(name)


def to_display(name: str) -> str:
    """U-label form of a canonical name for people, which `canonical` reads as this name.

    A label that has no such form stays as it is; in a name with a bogus A-label all do.
    """
    if "xn--" not in name:
        return name
    try:
        return ".".join([_label_to_display(label) for label in name.split(".")])
    except InvalidName:
        return name


def _label_to_display(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    _check_a_label(label)
    try:
        return idna.ulabel(label)
    except (UnicodeError, ValueError):  # judged by UTS 46 but not IDNA 2008: emoji and the like
        return label


def check_fileable(name: str) -> None:
    """Make sure that `name` can be filed: a canonical, registrable domain or below one.

    Raises InvalidName for IP addresses, top-level domains, public suffixes (of the ICANN
    section), underscores, invalid IDNs (IDNA 2008, stricter than what is judged) and any
    spelling that is not canonical.
    """
    if len(name) > MAX_LABEL or not _PLAIN_DOMAIN(name):
        check_host_name(name)
        _check_a_labels(name)
        _check_strict(name)
    _check_no_suffix(name)


def check_overridable(name: str) -> None:
    """Make sure that `name` can be exempted or suspended: as hosts are judged, and no suffix.

    Raises InvalidName.
    """
    check_host_name(name)
    _check_no_suffix(name)


def check_domain(name: str) -> None:
    """Make sure that `name` is a canonical name of two labels or more, its A-labels valid.

    That is all a replica asks of a domain: whether it may be filed is decided once, by the
    registry or the importer (`check_fileable`). A gate whose list of public suffixes is a week
    newer must not come to a halt over it. Raises InvalidName.
    """
    if len(name) > MAX_LABEL or not _PLAIN_DOMAIN(name):
        check_host_name(name)
        _check_a_labels(name)


def check_host_name(name: str) -> None:
    """Make sure that `name` is what a host of two labels or more is judged by.

    Raises InvalidName.
    """
    try:
        host = canonical(name.encode())
    except UnicodeEncodeError as error:
        raise InvalidName(NameFault.ENCODING, "the name holds a lone surrogate") from error
    if host.ip is not None:
        raise InvalidName(NameFault.IS_IP, "an IP address cannot be filed, only a domain")
    if host.name != name:
        raise InvalidName(NameFault.NOT_CANONICAL, f"write it as {host.name!r}")
    if "." not in name:
        raise InvalidName(NameFault.TOP_LEVEL, "a top-level domain cannot be filed")


def _check_a_labels(name: str) -> None:
    """What a filing asks of labels that begin like an A-label: to be one."""
    for label in name.split("."):
        if label.startswith("xn--"):
            _check_a_label(label)


def _check_no_suffix(name: str) -> None:
    if _suffixes().holds(name):
        raise InvalidName(
            NameFault.PUBLIC_SUFFIX,
            "a public suffix cannot be filed: the names below it belong to many owners",
        )


def _check_strict(name: str) -> None:
    """What a filing asks of an unusual canonical name: LDH labels, and IDNs of IDNA 2008."""
    _check_ldh(name)
    for label in name.split("."):
        if label.startswith("xn--"):
            try:
                idna.ulabel(label)
            except (UnicodeError, ValueError) as error:
                raise InvalidName(NameFault.BAD_IDN, f"not a valid IDN: {error}") from error
