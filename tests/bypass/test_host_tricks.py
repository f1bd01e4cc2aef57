"""Host tricks: many ways to write a name, and to make two readers see two names."""

from __future__ import annotations

from tests.bypass.cases import Case, check, table
from tests.harness.stage import Stage

GET = "GET {p} HTTP/1.1\r\n"


def host(value: str, *sees: str, statuses: tuple[int, ...] | None = None) -> Case:
    """A GET whose Host line is `value`, as UTF-8."""
    text = value.encode().decode("latin-1")
    return Case(f"{GET}Host: {text}\r\n\r\n", sees, statuses)


PASSED = (200,)
REDIRECTED = (302,)
REFUSED = (400,)

WRITTEN_FORMS = {
    "case": host("FiLeD.CoM", "GET  FiLeD.CoM", statuses=PASSED),
    "unfiled-in-upper-case": host("UNFILED.COM", statuses=REDIRECTED),
    "trailing-dot": host("filed.com.", "GET  filed.com.", statuses=PASSED),
    "unfiled-with-trailing-dot": host("unfiled.com.", statuses=REDIRECTED),
    "two-trailing-dots": host("filed.com..", statuses=REFUSED),
    "port": host("filed.com:8080", "GET  filed.com:8080", statuses=PASSED),
    "unfiled-with-port": host("unfiled.com:80", statuses=REDIRECTED),
    "empty-port": host("unfiled.com:", statuses=REDIRECTED),
    "port-that-is-a-name": host("unfiled.com:filed.com", statuses=REFUSED),
    "port-with-non-ascii-digits": host("filed.com:８０", statuses=REFUSED),
    "port-with-arabic-digits": host("filed.com:٨٠", statuses=REFUSED),
    "tabs-around": Case(f"{GET}Host:\tunfiled.com\t\r\n\r\n", (), REDIRECTED),
    "tab-inside": host("filed.com\tunfiled.com", statuses=REFUSED),
    "space-inside": host("filed.com unfiled.com", statuses=REFUSED),
    "no-break-space-behind": host("filed.com\u00a0", statuses=REFUSED),
    "zero-width-space": host("unfiled.com\u200b", statuses=REDIRECTED),
    "soft-hyphen": host("un\u00adfiled.com", statuses=REDIRECTED),
    "soft-hyphen-that-makes-a-filed-name": host("fi\u00adled.com", "GET  filed.com"),
    "full-width-name": host("ｕｎｆｉｌｅｄ.com", statuses=REDIRECTED),
    "ideographic-full-stop": host("unfiled。com", statuses=REDIRECTED),
    "full-width-full-stop": host("unfiled．com", statuses=REDIRECTED),
    "half-width-ideographic-full-stop": host("unfiled｡com", statuses=REDIRECTED),
    "filed-with-foreign-dots": host("www。filed．com", "GET  www.filed.com", statuses=PASSED),
    "foreign-dot-that-hides-a-suffix": host("filed.com。evil.com", statuses=REDIRECTED),
    "one-dot-leader": host("filed․com", statuses=None),
    "percent-encoded-dot": host("filed%2ecom", statuses=REFUSED),
    "percent-encoded-name": host("%75nfiled.com", statuses=REFUSED),
    "percent-encoded-nul": host("filed.com%00.unfiled.com", statuses=REFUSED),
    "userinfo": host("filed.com@unfiled.com", statuses=REFUSED),
    "userinfo-of-unfiled": host("unfiled.com@filed.com", statuses=REFUSED),
    "userinfo-with-password": host("filed.com:80@unfiled.com", statuses=REFUSED),
    "fragment": host("unfiled.com#.filed.com", statuses=REFUSED),
    "query": host("unfiled.com?.filed.com", statuses=REFUSED),
    "path": host("unfiled.com/.filed.com", statuses=REFUSED),
    "backslash": host("unfiled.com\\.filed.com", statuses=REFUSED),
    "semicolon": host("unfiled.com;.filed.com", statuses=REFUSED),
    "comma-list": host("filed.com, unfiled.com", statuses=REFUSED),
    "comma-without-space": host("filed.com,unfiled.com", statuses=REFUSED),
    "quotes": host('"filed.com"', statuses=REFUSED),
    "brackets-around-a-name": host("[filed.com]", statuses=REFUSED),
    "ipv6-zone": host("[fe80::1%25filed.com]", statuses=None),
    "ipv6-then-name": host("[::1].filed.com", statuses=REFUSED),
    "nul": host("filed.com\x00.unfiled.com", statuses=REFUSED),
    "nul-behind": host("filed.com\x00", statuses=REFUSED),
    "line-feed": host("filed.com\nX-A: b", statuses=REFUSED),
    "carriage-return": host("filed.com\rHost: unfiled.com", statuses=REFUSED),
    "vertical-tab": host("filed.com\x0b", statuses=REFUSED),
    "form-feed-before": host("\x0cfiled.com", statuses=REFUSED),
    "delete": host("filed.com\x7f", statuses=REFUSED),
    "overlong-utf-8": Case(f"{GET}Host: \xc0\xaefiled.com\r\n\r\n", (), REFUSED),
    "latin-1-bytes": Case(f"{GET}Host: f\xecled.com\r\n\r\n", (), REFUSED),
    "surrogates-in-utf-8": Case(f"{GET}Host: \xed\xa0\x80.filed.com\r\n\r\n", (), REFUSED),
    "kelvin-sign": host("\u212aelvin.unfiled.com", statuses=REDIRECTED),
    "long-s": host("un\u017ffiled.com", statuses=REDIRECTED),
    "sharp-s-is-not-ss": host("filedß.com", statuses=REDIRECTED),
    "a-label-in-disguise": host("xn--filed-.com", statuses=REFUSED),
    "a-label-that-spells-the-filed-name": host("xn--filed.com-.unfiled.com", statuses=REDIRECTED),
    "punycode-of-plain-ascii": host("xn--filed.com", statuses=REDIRECTED),
    "ip-address": host("127.0.0.1", statuses=REDIRECTED),
    "ip-address-in-full-width": host("１２７.0.0.1", statuses=REDIRECTED),
    "ip-address-in-hexadecimal": host("0x7f000001", statuses=REDIRECTED),
    "filed-below-a-number": host("filed.com.1", statuses=None),
    "label-suffix": host("evilfiled.com", statuses=REDIRECTED),
    "name-in-front": host("filed.com.unfiled.com", statuses=REDIRECTED),
}

FIELD_FORMS = {
    "two-hosts": Case(f"{GET}Host: filed.com\r\nHost: unfiled.com\r\n\r\n", (), REFUSED),
    "two-hosts-reversed": Case(f"{GET}Host: unfiled.com\r\nHost: filed.com\r\n\r\n", (), REFUSED),
    "two-hosts-far-apart": Case(
        f"{GET}Host: filed.com\r\n" + "X-A: b\r\n" * 90 + "Host: unfiled.com\r\n\r\n", (), REFUSED
    ),
    "second-host-in-other-case": Case(
        f"{GET}Host: filed.com\r\nhOsT: unfiled.com\r\n\r\n", (), REFUSED
    ),
    "second-host-with-space-before-colon": Case(
        f"{GET}Host: filed.com\r\nHost : unfiled.com\r\n\r\n", (), REFUSED
    ),
    "second-host-indented": Case(
        f"{GET}Host: filed.com\r\n Host: unfiled.com\r\n\r\n", (), REFUSED
    ),
    "first-line-indented": Case(f"{GET} Host: unfiled.com\r\nHost: filed.com\r\n\r\n", (), REFUSED),
    "folded-host": Case(f"{GET}Host: filed.com\r\n .unfiled.com\r\n\r\n", (), REFUSED),
    "folded-empty-host": Case(f"{GET}Host:\r\n unfiled.com\r\n\r\n", (), REFUSED),
    "host-behind-bare-lf": Case(
        f"{GET}Host: filed.com\r\nX-A: b\nHost: unfiled.com\r\n\r\n", (), REFUSED
    ),
    "host-behind-bare-cr": Case(
        f"{GET}Host: filed.com\r\nX-A: b\rHost: unfiled.com\r\n\r\n", (), REFUSED
    ),
    "host-behind-nul": Case(
        f"{GET}Host: filed.com\r\nX-A: b\x00Host: unfiled.com\r\n\r\n", (), REFUSED
    ),
    "host-behind-next-line": Case(
        f"{GET}Host: filed.com\r\nX-A: b\x85Host: unfiled.com\r\n\r\n", ("GET  filed.com",)
    ),
    "lf-lf-before-second-host": Case(
        f"{GET}Host: filed.com\r\n\nHost: unfiled.com\r\n\r\n", (), REFUSED
    ),
    "underscored-host": Case(
        f"{GET}Host: filed.com\r\nH_ost: unfiled.com\r\n\r\n", ("GET  filed.com",), PASSED
    ),
    "host-with-nul-in-its-name": Case(
        f"{GET}Ho\x00st: unfiled.com\r\nHost: filed.com\r\n\r\n", (), REFUSED
    ),
    "host-with-bom": Case(
        f"{GET}\xef\xbb\xbfHost: unfiled.com\r\nHost: filed.com\r\n\r\n", (), REFUSED
    ),
    "x-forwarded-host": Case(
        f"{GET}Host: filed.com\r\nX-Forwarded-Host: unfiled.com\r\n\r\n", ("GET  filed.com",)
    ),
    "connection-lists-host": Case(f"{GET}Host: filed.com\r\nConnection: Host\r\n\r\n", (), REFUSED),
    "connection-lists-x-forwarded-host": Case(
        f"{GET}Host: filed.com\r\nConnection: X-Forwarded-Host\r\n\r\n", (), REFUSED
    ),
    "no-host": Case(f"{GET}\r\n", (), REFUSED),
    "empty-host": Case(f"{GET}Host:\r\n\r\n", (), REFUSED),
    "http-1.0-without-host": Case("GET {p} HTTP/1.0\r\n\r\n", (), REDIRECTED),
    "http-1.0-with-unfiled-host": Case(
        "GET {p} HTTP/1.0\r\nHost: unfiled.com\r\n\r\n", (), REDIRECTED
    ),
    "leading-empty-lines": Case(f"\r\n\r\n{GET}Host: unfiled.com\r\n\r\n", (), None),
}

F = "Host: filed.com\r\n"
U = "Host: unfiled.com\r\n"
TARGETS = {
    "authority-of-unfiled": Case(f"GET http://unfiled.com{{p}} HTTP/1.1\r\n{F}\r\n", (), REFUSED),
    "authority-of-filed": Case(f"GET http://filed.com{{p}} HTTP/1.1\r\n{U}\r\n", (), REFUSED),
    "both-unfiled": Case(f"GET http://unfiled.com{{p}} HTTP/1.1\r\n{U}\r\n", (), REDIRECTED),
    "both-filed": Case(
        f"GET http://filed.com{{p}} HTTP/1.1\r\n{F}\r\n", ("GET  filed.com",), PASSED
    ),
    "scheme-in-upper-case": Case(f"GET HTTP://unfiled.com{{p}} HTTP/1.1\r\n{F}\r\n", (), REFUSED),
    "https-scheme": Case(f"GET https://unfiled.com{{p}} HTTP/1.1\r\n{F}\r\n", (), REFUSED),
    "one-slash": Case(f"GET http:/unfiled.com{{p}} HTTP/1.1\r\n{F}\r\n", (), REFUSED),
    "three-slashes": Case(f"GET http:///unfiled.com{{p}} HTTP/1.1\r\n{F}\r\n", (), REFUSED),
    "userinfo": Case(f"GET http://filed.com@unfiled.com{{p}} HTTP/1.1\r\n{F}\r\n", (), REFUSED),
    "backslash-before-at": Case(
        f"GET http://filed.com\\@unfiled.com{{p}} HTTP/1.1\r\n{F}\r\n", (), REFUSED
    ),
    "double-slash-is-a-path": Case(
        f"GET //unfiled.com{{p}} HTTP/1.1\r\n{F}\r\n", ("GET //unfiled.com filed.com",), PASSED
    ),
    "at-sign-is-a-path": Case(f"GET @unfiled.com{{p}} HTTP/1.1\r\n{F}\r\n", (), REFUSED),
    "authority-form": Case(f"GET unfiled.com:80 HTTP/1.1\r\n{F}X-P: {{p}}\r\n\r\n", (), REFUSED),
    "connect": Case(f"CONNECT unfiled.com:80 HTTP/1.1\r\n{F}X-P: {{p}}\r\n\r\n", (), (405,)),
    "connect-with-origin-form": Case(f"CONNECT {{p}} HTTP/1.1\r\n{F}\r\n", (), None),
    "connect-in-lower-case": Case(
        f"connect {{p}} HTTP/1.1\r\n{F}\r\n", ("connect  filed.com",), None
    ),
    "two-request-lines": Case(
        f"GET {{p}} HTTP/1.1\r\nGET http://unfiled.com{{p}} HTTP/1.1\r\n{F}\r\n", (), REFUSED
    ),
    "second-target": Case(f"GET {{p}} http://unfiled.com/ HTTP/1.1\r\n{F}\r\n", (), REFUSED),
    "version-twice": Case(f"GET {{p}} HTTP/1.1 HTTP/1.1\r\n{F}\r\n", (), REFUSED),
    "no-version": Case("GET {p}\r\n", (), None),
    "no-version-but-fields": Case(f"GET {{p}}\r\n{F}\r\n", (), None),
    "http-2-preface": Case("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{p}", (), None),
    "fragment": Case(f"GET {{p}}#unfiled.com HTTP/1.1\r\n{F}\r\n", (), REFUSED),
    "absolute-form-with-ports-that-differ": Case(
        f"GET http://filed.com:81{{p}} HTTP/1.1\r\n{F}\r\n", (), None
    ),
    "absolute-form-in-other-case": Case(
        f"GET http://FILED.com{{p}} HTTP/1.1\r\n{F}\r\n", ("GET  FILED.com",), PASSED
    ),
    "absolute-form-in-http-1.0-without-host": Case(
        "GET http://unfiled.com{p} HTTP/1.0\r\n\r\n", (), REDIRECTED
    ),
}


@table(WRITTEN_FORMS)
def test_written_form_of_the_name(bypass_stage: Stage, path: str, case: Case) -> None:
    check(bypass_stage, case, path)


@table(FIELD_FORMS)
def test_form_of_the_host_field(bypass_stage: Stage, path: str, case: Case) -> None:
    check(bypass_stage, case, path)


@table(TARGETS)
def test_name_in_the_target(bypass_stage: Stage, path: str, case: Case) -> None:
    check(bypass_stage, case, path)
