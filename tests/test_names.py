"""The Names table of the enforcement rules, and what else host text can hold."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import idna
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from publicsuffixlist import PublicSuffixList

from gate.names import (
    Host,
    InvalidName,
    NameFault,
    canonical,
    check_domain,
    check_fileable,
    check_overridable,
    parents,
    registrable,
    to_display,
)

LONG_LABEL = "a" * 63
LONGEST = ".".join([LONG_LABEL, LONG_LABEL, LONG_LABEL, "a" * 57, "com"])


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("example.com", "example.com"),
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("example.com:8080", "example.com"),
        ("example.com.:8080", "example.com"),
        ("example.com:", "example.com"),
        ("example.com:65535", "example.com"),
        ("EXAMPLE.com.:0", "example.com"),
        ("www.a.example.com.cn", "www.a.example.com.cn"),
        ("localhost", "localhost"),
        ("a", "a"),
        ("1.2.3.4.example.com", "1.2.3.4.example.com"),
        ("163.com", "163.com"),
        ("x.4chan", "x.4chan"),
        ("r3---sn-x.example.com", "r3---sn-x.example.com"),
        ("ab--cd.com", "ab--cd.com"),
        (LONG_LABEL + ".com", LONG_LABEL + ".com"),
        (LONGEST, LONGEST),
        (LONGEST + ".", LONGEST),
    ],
)
def test_ascii_names(host: str, name: str) -> None:
    assert canonical(host.encode()) == Host(name)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("例子.中国", "xn--fsqu00a.xn--fiqs8s"),
        ("xn--fsqu00a.xn--fiqs8s", "xn--fsqu00a.xn--fiqs8s"),
        ("XN--FSQU00A.XN--fiqs8s.", "xn--fsqu00a.xn--fiqs8s"),
        ("www.例子.中国:443", "www.xn--fsqu00a.xn--fiqs8s"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("ｅｘａｍｐｌｅ.com", "example.com"),
        ("ｘｎ－－fsqu00a.com", "xn--fsqu00a.com"),
        # UTS 46 maps the ideographic, full-width and half-width full stops to a dot.
        ("例子。中国", "xn--fsqu00a.xn--fiqs8s"),
        ("www．example．com", "www.example.com"),
        ("www｡example｡com｡", "www.example.com"),
        # Non-transitional: the deviation characters stay.
        ("faß.de", "xn--fa-hia.de"),
        ("βόλος.com", "xn--nxasmm1c.com"),
        # Ignored by UTS 46.
        ("exam\u00adple.com", "example.com"),
        ("exam\u200bple.com", "example.com"),
        # Valid by UTS 46, as browsers have it, though not by IDNA 2008.
        ("☃.net", "xn--n3h.net"),
        ("xn--n3h.net", "xn--n3h.net"),
    ],
)
def test_u_labels_and_a_labels_are_one_name(host: str, name: str) -> None:
    assert canonical(host.encode()) == Host(name)


BOGUS = [
    "xn--a",  # decodes to a control character
    "xn--abc",
    "xn--0",
    "xn--1ug",  # a joiner alone
    "xn--fsqu00a-0",
    "xn---fsqu00a",
    "xn--99999999",
    "xn--ab-yu3n",  # holds U+FF0E, which maps to a dot
    "xn--3ba",  # decodes to an upper-case letter
    "xn--u-ccb",  # not in NFC
    "xn--ab-j1t",  # a joiner without context
    "xn--xn--a--gua",
]


@pytest.mark.parametrize("label", [*BOGUS, "xn--", "xn--example-", "xn--filed-"])
def test_a_host_in_ascii_is_judged_as_it_is(label: str) -> None:
    """As browsers send it (URL standard, "domain to ASCII"): no A-label in it is looked into."""
    name = f"{label}.example.com"
    for host in (name, name.upper(), name + ".", name + ":80", f"{label.upper()}.example.com.:1"):
        assert canonical(host.encode()) == Host(name)
    assert to_display(name) == name
    assert list(parents(name)) == [name, "example.com"]
    assert registrable(name) == "example.com"


@pytest.mark.parametrize("label", BOGUS)
def test_a_bogus_a_label_may_stand_anywhere_in_a_host(label: str) -> None:
    for name in (f"{label}.com", f"a.{label}.com.cn", f"www.{label}", label):
        assert canonical(name.encode()) == Host(name)
        assert to_display(name) == name


@pytest.mark.parametrize("label", [*BOGUS, "xn--example-", "xn--"])
def test_a_filing_needs_valid_a_labels(label: str) -> None:
    for name in (f"{label}.com", f"www.{label}.example.com.cn", f"example.{label}"):
        for check in (check_fileable, check_domain):
            with pytest.raises(InvalidName) as caught:
                check(name)
            assert caught.value.fault in (NameFault.BAD_IDN, NameFault.HYPHEN)


@pytest.mark.parametrize(
    "name", ["xn--a.example.com", "_a.example.com", "-.example.com", "example.com", "sinaapp.com"]
)
def test_what_is_judged_can_be_exempted_and_suspended(name: str) -> None:
    check_overridable(name)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("com.cn", NameFault.PUBLIC_SUFFIX),
        ("com", NameFault.TOP_LEVEL),
        ("a_b.com", NameFault.CHARACTER),
        ("Example.com", NameFault.NOT_CANONICAL),
        ("1.2.3.4", NameFault.IS_IP),
        ("a\ud800.com", NameFault.ENCODING),
        ("a..com", NameFault.EMPTY_LABEL),
    ],
)
def test_not_overridable(name: str, fault: NameFault) -> None:
    with pytest.raises(InvalidName) as caught:
        check_overridable(name)
    assert caught.value.fault is fault


@pytest.mark.parametrize(
    "host",
    [
        "xn--ls8h=.com",
        "xn--a.中国",  # no browser sends a host of both kinds before it has looked into it
        "xn--3ba.例子.cn",
        "ｘｎ－－a.com",
        "\u0301a.com",  # starts with a combining mark
        "a\u200cb.com",  # joiner without context
        "aא.com",  # Bidi rule
        "a\u2028b.com",
        "\U000e0001.com",
        "a\u3002\u3002com",
        "。com",
    ],
)
def test_invalid_idns_are_malformed(host: str) -> None:
    with pytest.raises(InvalidName) as caught:
        canonical(host.encode())
    assert caught.value.fault in {NameFault.BAD_IDN, NameFault.CHARACTER, NameFault.EMPTY_LABEL}


@pytest.mark.parametrize(
    ("host", "fault"),
    [
        (b"", NameFault.EMPTY),
        (b".", NameFault.EMPTY),
        (b":80", NameFault.EMPTY),
        (b"..", NameFault.EMPTY_LABEL),
        (b".com", NameFault.EMPTY_LABEL),
        (b"a..com", NameFault.EMPTY_LABEL),
        (b"example.com..", NameFault.EMPTY_LABEL),
        (b"a" * 64 + b".com", NameFault.LABEL_TOO_LONG),
        (LONGEST.encode() + b"m", NameFault.TOO_LONG),
        (b"a." * 127 + b"com", NameFault.TOO_LONG),
        (b"a" * 2000, NameFault.TOO_LONG),
        (b"a b.com", NameFault.CHARACTER),
        (b" example.com", NameFault.CHARACTER),
        (b"example.com ", NameFault.CHARACTER),
        (b"example.com\t", NameFault.CHARACTER),
        (b"example.com\n", NameFault.CHARACTER),
        (b"example.com\r\n", NameFault.CHARACTER),
        (b"example.com\0", NameFault.CHARACTER),
        (b"exam\0ple.com", NameFault.CHARACTER),
        (b"user@example.com", NameFault.CHARACTER),
        (b"example.com/path", NameFault.CHARACTER),
        (b"a.com,b.com", NameFault.CHARACTER),
        (b"%65xample.com", NameFault.CHARACTER),
        (b"*.example.com", NameFault.CHARACTER),
        (b"exa\\mple.com", NameFault.CHARACTER),
        ("example.com／a".encode(), NameFault.CHARACTER),
        (b"\xff.com", NameFault.ENCODING),
        (b"\xc0\xae.com", NameFault.ENCODING),
        (b"example.com:65536", NameFault.BAD_PORT),
        (b"example.com:-1", NameFault.BAD_PORT),
        (b"example.com:+80", NameFault.BAD_PORT),
        (b"example.com:8_0", NameFault.BAD_PORT),
        (b"example.com: 80", NameFault.BAD_PORT),
        (b"example.com:80\n", NameFault.BAD_PORT),
        ("example.com:８０".encode(), NameFault.BAD_PORT),
        (b"example.com:80:80", NameFault.BAD_IP),
    ],
)
def test_malformed_hosts(host: bytes, fault: NameFault) -> None:
    with pytest.raises(InvalidName) as caught:
        canonical(host)
    assert caught.value.fault is fault
    assert caught.value.reason


@pytest.mark.parametrize(
    "host",
    [
        "_dmarc.example.com",
        "a_b.example.com.cn",
        "_a._b.www.example.com",
        "-a.example.com",
        "a-.example.com",
        "_.user.github.io",
        "a_b.github.io",
    ],
)
def test_underscore_and_edge_hyphen_below_the_filed_part(host: str) -> None:
    assert canonical(host.encode()) == Host(host)


@pytest.mark.parametrize(
    ("host", "fault"),
    [
        ("a_b.com", NameFault.CHARACTER),
        ("a_b.com.cn", NameFault.CHARACTER),
        ("x.a_b.com.cn", NameFault.CHARACTER),
        ("a_b.io", NameFault.CHARACTER),
        ("example.c_m", NameFault.CHARACTER),
        ("_", NameFault.CHARACTER),
        ("-a.com", NameFault.HYPHEN),
        ("a-.com.cn", NameFault.HYPHEN),
        ("www.-a.com", NameFault.HYPHEN),
        ("example.-", NameFault.HYPHEN),
    ],
)
def test_underscore_and_edge_hyphen_in_the_filed_part(host: str, fault: NameFault) -> None:
    with pytest.raises(InvalidName) as caught:
        canonical(host.encode())
    assert caught.value.fault is fault


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("1.2.3.4:80", "1.2.3.4"),
        ("1.2.3.4.", "1.2.3.4"),
        ("0x1020304", "1.2.3.4"),
        ("0X1020304", "1.2.3.4"),
        ("0x01.0x02.0x03.0x04", "1.2.3.4"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("1.2.772", "1.2.3.4"),
        ("16909060", "1.2.3.4"),
        ("0100.0.0.1", "64.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("0x", "0.0.0.0"),
        ("4294967295", "255.255.255.255"),
        ("0xffffffff", "255.255.255.255"),
        ("0x00000000000000000000ff", "0.0.0.255"),
        ("１.２.３.４", "1.2.3.4"),
        ("１。２。３。４", "1.2.3.4"),
        ("[::1]", "::1"),
        ("[::1]:80", "::1"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("[::ffff:1.2.3.4]", "::ffff:1.2.3.4"),
        ("::1", "::1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_ip_hosts_in_every_form(host: str, address: str) -> None:
    assert canonical(host.encode()) == Host("", ip_address(address))


@pytest.mark.parametrize(
    "host",
    [
        "256.1.1.1",
        "1.2.3.256",
        "1.2.65536",
        "1.16777216",
        "4294967296",
        "99999999999999999999",
        "0x100000000",
        "1.2.3.4.5",
        "1..4",
        "08",
        "1.2.3.09",
        "foo.1",
        "foo.0x4",
        "example.com.1",
        "1.2.3.4x.5",
        "[::1",
        "[::1]80",
        "[]",
        "[1.2.3.4]",
        "[:::1]",
        "[fe80::1%25eth0]",
        "[fe80::1%eth0]",
        "fe80::1%eth0",
        "[v1.fe80]",
        "[::1]]",
        "a::b.com",
    ],
)
def test_what_only_looks_like_an_address_is_malformed(host: str) -> None:
    with pytest.raises(InvalidName) as caught:
        canonical(host.encode())
    assert caught.value.fault is NameFault.BAD_IP


def test_a_bracketed_address_takes_a_port_only() -> None:
    with pytest.raises(InvalidName) as caught:
        canonical(b"[::1]:x")
    assert caught.value.fault is NameFault.BAD_PORT


def test_parents_are_whole_labels_down_to_two() -> None:
    assert list(parents("www.a.example.com.cn")) == [
        "www.a.example.com.cn",
        "a.example.com.cn",
        "example.com.cn",
        "com.cn",
    ]
    assert list(parents("notexample.com")) == ["notexample.com"]
    assert list(parents("localhost")) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("www.a.example.com.cn", "example.com.cn"),
        ("example.com", "example.com"),
        ("com.cn", None),
        ("a.b.github.io", "github.io"),
        ("shop.sinaapp.com", "sinaapp.com"),
        ("www.ck", "www.ck"),
        ("a.b.kawasaki.jp", "a.b.kawasaki.jp"),
        ("city.kawasaki.jp", "city.kawasaki.jp"),
        ("com", None),
    ],
)
def test_registrable_domain(name: str, expected: str | None) -> None:
    assert registrable(name) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("xn--fsqu00a.xn--fiqs8s", "例子.中国"),
        ("www.xn--bcher-kva.example", "www.bücher.example"),
        ("r3---sn-x.xn--fiqs8s", "r3---sn-x.中国"),
        ("xn--n3h.net", "xn--n3h.net"),
        ("_a.example.com", "_a.example.com"),
        ("xn--fsqu00a.xn--n3h.xn--fiqs8s", "例子.xn--n3h.中国"),
        ("xn--fsqu00a.xn--a.xn--fiqs8s", "xn--fsqu00a.xn--a.xn--fiqs8s"),
    ],
)
def test_display_form(name: str, text: str) -> None:
    assert to_display(name) == text


@pytest.mark.parametrize(
    "name",
    [
        "example.com",
        "example.com.cn",
        "163.com",
        "a.b.example.com",
        "user.github.io",
        # Suffixes of the list's private section: registered names, which their owners file.
        "github.io",
        "sinaapp.com",
        "blogspot.com",
        "www.ck",  # an exception to *.ck
        "xn--fsqu00a.xn--fiqs8s",
        "example.internal",
        LONGEST,
    ],
)
def test_fileable(name: str) -> None:
    check_fileable(name)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("com", NameFault.TOP_LEVEL),
        ("xn--fiqs8s", NameFault.TOP_LEVEL),
        ("com.cn", NameFault.PUBLIC_SUFFIX),
        ("gov.cn", NameFault.PUBLIC_SUFFIX),
        ("co.uk", NameFault.PUBLIC_SUFFIX),
        ("foo.ck", NameFault.PUBLIC_SUFFIX),
        ("kawasaki.jp", NameFault.PUBLIC_SUFFIX),
        ("xn--55qx5d.cn", NameFault.PUBLIC_SUFFIX),
        ("1.2.3.4", NameFault.IS_IP),
        ("[::1]", NameFault.IS_IP),
        ("127.1", NameFault.IS_IP),
        ("Example.com", NameFault.NOT_CANONICAL),
        ("example.com.", NameFault.NOT_CANONICAL),
        ("example.com:80", NameFault.NOT_CANONICAL),
        ("例子.中国", NameFault.NOT_CANONICAL),
        ("a_b.example.com", NameFault.CHARACTER),
        ("-a.example.com", NameFault.HYPHEN),
        ("xn--n3h.net", NameFault.BAD_IDN),
        ("xn--abc.com", NameFault.BAD_IDN),
        ("*.example.com", NameFault.CHARACTER),
        ("https://example.com/", NameFault.BAD_PORT),
        ("", NameFault.EMPTY),
        ("a..com", NameFault.EMPTY_LABEL),
        ("a\ud800.com", NameFault.ENCODING),
        ("a" * 64 + ".com", NameFault.LABEL_TOO_LONG),
        (LONGEST + "m", NameFault.TOO_LONG),
    ],
)
def test_not_fileable(name: str, fault: NameFault) -> None:
    with pytest.raises(InvalidName) as caught:
        check_fileable(name)
    assert caught.value.fault is fault


def test_suffix_check_agrees_with_the_library_on_every_rule() -> None:
    library = PublicSuffixList(only_icann=True)
    names: set[str] = set()
    for rule in PublicSuffixList()._publicsuffix:  # those of the private section, too
        suffix = rule.lstrip("!").removeprefix("*.")
        names.update((suffix, f"a.{suffix}", f"b.a.{suffix}"))
    for name in names:
        if "." not in name or not name.isascii():
            continue
        try:
            check_fileable(name)
            public = False
        except InvalidName as error:
            if error.fault is not NameFault.PUBLIC_SUFFIX:
                continue
            public = True
        assert public == library.is_public(name), name


HOSTILE = st.one_of(
    st.binary(max_size=80),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")),
    st.text(alphabet="aA0-_.:[]%x。．例\u00ad\u200cß", max_size=30).map(str.encode),
    st.from_regex(rb"(xn--[a-z0-9-]{0,20}\.){1,3}[a-z]{2,3}\.?(:[0-9]{1,5})?", fullmatch=True),
    st.from_regex(rb"(0x)?[0-9a-f]{1,9}(\.(0x)?[0-9a-f]{0,9}){0,4}", fullmatch=True),
    st.ip_addresses().map(lambda ip: str(ip).encode()),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip}]:80".encode()),
)


@given(HOSTILE)
@example(b"[::]")
@example("ａ。ｃｏｍ".encode())
def test_canonical_is_idempotent_and_clean(host: bytes) -> None:
    try:
        name, ip = canonical(host)
    except InvalidName:
        return
    if ip is not None:
        assert name == ""
        text = str(ip) if isinstance(ip, IPv4Address) else f"[{ip}]"
        assert canonical(text.encode()) == Host("", ip)
        return
    assert canonical(name.encode()) == Host(name)
    assert canonical(name.upper().encode() + b".:443") == Host(name)
    assert len(name) <= 253
    for label in name.split("."):
        assert 1 <= len(label) <= 63
        assert set(label) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")


@given(HOSTILE, st.sampled_from([bytes((byte,)) for byte in b"\0\t\n\r \x0b\x7f@/\\,;?#\"'*%"]))
def test_no_host_with_a_forbidden_byte_is_accepted(host: bytes, byte: bytes) -> None:
    for position in {0, len(host) // 2, len(host)}:
        with pytest.raises(InvalidName):
            canonical(host[:position] + byte + host[position:])


@given(
    st.integers(0, 2**32 - 1), st.lists(st.sampled_from("dxo"), min_size=4, max_size=4), st.data()
)
def test_every_spelling_of_an_ipv4_address(
    value: int, bases: list[str], data: st.DataObject
) -> None:
    parts = data.draw(st.integers(1, 4))
    octets = value.to_bytes(4, "big")
    numbers = [*octets[: parts - 1], int.from_bytes(octets[parts - 1 :], "big")]
    spell = {"d": "{}", "x": "0x{:x}", "o": "0{:o}"}
    host = ".".join(
        spell[base].format(number) for base, number in zip(bases, numbers, strict=False)
    )
    assert canonical(host.encode()).ip == IPv4Address(value)


@given(st.text(alphabet=st.characters(codec="utf-8", min_codepoint=0xE0), min_size=1, max_size=12))
def test_an_accepted_u_label_is_its_a_label(label: str) -> None:
    try:
        name = canonical(f"{label}.cn".encode()).name
    except InvalidName:
        return
    assert name.isascii()
    assert canonical(name.encode()).name == name


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=12))
def test_what_idna_2008_takes_after_mapping_is_taken_alike(label: str) -> None:
    try:
        expected = idna.encode(label, uts46=True, std3_rules=True).decode().removesuffix(".")
    except idna.IDNAError:
        return
    host = canonical(f"{label}.example.cn".encode())
    assert host.name == f"{expected}.example.cn"


def test_an_ip_host_has_an_address_object() -> None:
    assert canonical(b"[::1]").ip == IPv6Address("::1")
