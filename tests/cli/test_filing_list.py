"""Lists of filed domains: what is taken, and what is refused with which reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.cli.filing_list import FilingList, RefusedLine, read_list
from gate.filings import Filing, Status
from gate.lists import ListError, read_file
from gate.names import check_fileable

LICENCE = "京ICP备12345678号-1"


def read(text: str, *, is_csv: bool = False) -> tuple[FilingList, list[str]]:
    result, refused, _ = read_all(text, is_csv=is_csv)
    return result, refused


def read_all(text: str, *, is_csv: bool = False) -> tuple[FilingList, list[str], list[str]]:
    """What was taken, why lines were refused, and what was warned of."""
    refused: list[RefusedLine] = []
    warned: list[RefusedLine] = []
    found = read_file(text.encode("utf-8", "surrogatepass"), headed=is_csv)
    result = read_list(found, refuse=refused.append, warn=warned.append)
    assert (result.refused, result.warned) == (len(refused), len(warned))
    return (
        result,
        [f"{refusal.line}: {refusal.reason}" for refusal in refused],
        [f"{refusal.line}: {refusal.reason}" for refusal in warned],
    )


def test_text_is_a_domain_a_line() -> None:
    result, refused = read("# a list\n\nexample.com\n  Example.CN.  \n例子.cn\n")
    assert list(result.filings) == ["example.com", "example.cn", "xn--fsqu00a.cn"]
    assert set(result.filings.values()) == {
        Filing(domain, Status("filed"), "") for domain in result.filings
    }
    assert refused == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("cn", "a top-level domain cannot be filed"),
        ("com.cn", "a public suffix cannot be filed"),
        ("1.2.3.4", "an IP address cannot be filed as a domain"),
        ("0x7f.1", "an IP address cannot be filed as a domain"),
        ("[::1]", "an IP address cannot be filed as a domain"),
        ("example.com:80", "a domain has no port; leave it out"),
        ("example..com", ""),
        ("xn--a.cn", ""),
        ("two words.cn", ""),
        ("a/b.cn", ""),
    ],
)
def test_a_line_that_is_no_domain_is_refused_and_the_rest_taken(line: str, reason: str) -> None:
    result, refused = read(f"example.net\n{line}\nexample.org\n")
    assert list(result.filings) == ["example.net", "example.org"]
    assert len(refused) == 1
    assert refused[0].startswith(f"2: {reason}")


def test_csv_names_its_columns() -> None:
    result, refused = read(
        f"Licence,domain,status\n{LICENCE},example.com,\n"
        f'"{LICENCE}","example.net","filed_elsewhere"\n,example.org,suspended\n',
        is_csv=True,
    )
    assert refused == []
    assert result.filings == {
        "example.com": Filing("example.com", Status("filed"), LICENCE),
        "example.net": Filing("example.net", Status("filed_elsewhere"), LICENCE),
        "example.org": Filing("example.org", Status("suspended"), ""),
    }


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("example.com,,maybe", "status 'maybe' is none of filed, filed_elsewhere, suspended"),
        ("example.com,,revoked", "status 'revoked' is none of filed"),
        ("example.com", "1 column; 3 are due"),
        ("example.com,,filed,more", "4 columns; 3 are due"),
        (",,filed", ""),
    ],
)
def test_a_csv_row_that_cannot_be_taken_is_refused(row: str, reason: str) -> None:
    result, refused = read(f"domain,licence,status\n# none\n{row}\nexample.org,,\n", is_csv=True)
    assert list(result.filings) == ["example.org"]
    assert len(refused) == 1
    assert reason in refused[0]
    assert refused[0].startswith("3: ")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("京ICP备030066号", "京ICP备030066号"),
        ("京ICP证030173号-1", "京ICP证030173号-1"),
        ("粤B2-20090059-1626X", "粤B2-20090059-1626X"),
        ("川 icp备 12345678－1", "蜀ICP备12345678号-1"),
    ],
)
def test_a_licence_number_is_kept_in_its_canonical_form(written: str, kept: str) -> None:
    result, refused, warned = read_all(f"domain,licence\na.cn,{written}\n", is_csv=True)
    assert result.filings == {"a.cn": Filing("a.cn", Status.FILED, kept)}
    assert (refused, warned) == ([], [])


@pytest.mark.parametrize(
    ("written", "kept", "reason"),
    [
        ("x", "x", "kept as it is written: “ICP备” is missing; the domain is taken"),
        ("京ICP备1号", "京ICP备1号", "6 to 10 digits"),
        ("京公网安备11010502030001号", "京公网安备11010502030001号", "public security register"),
        ("号" * 65, "", "left out"),
        ("a\x07b", "", "left out"),
    ],
)
def test_a_licence_number_that_cannot_be_read_never_decides_whether_a_domain_is_filed(
    written: str, kept: str, reason: str
) -> None:
    result, refused, warned = read_all(
        f"domain,licence,status\na.cn,{written},filed\nb.cn,,\n", is_csv=True
    )
    assert result.filings["a.cn"] == Filing("a.cn", Status.FILED, kept)
    assert (refused, len(warned), len(result.filings)) == ([], 1, 2)
    assert warned[0].startswith("2: licence number ")
    assert reason in warned[0]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("licence,status", r"there is no header: none of the first 10 rows names a domain column"),
        ("example.com", r"there is no header: .* The first is 'example.com'; write one, like"),
        ("domain,colour,domain", r"the headers domain, domain mean the same; keep one"),
        ("域名,网站域名", r"the headers 域名, 网站域名 mean the same; keep one"),
    ],
)
def test_a_csv_header_must_name_a_domain_column_once(header: str, said: str) -> None:
    with pytest.raises(ListError, match=said):
        read(f"# list\n{header}\nexample.com\n", is_csv=True)


def test_broken_quotes_spoil_their_line_alone() -> None:
    result, refused = read(
        'domain,licence\nexample.com,\n"example.net"x,\n"b.cn,\nc.cn,\n', is_csv=True
    )
    assert list(result.filings) == ["example.com", "c.cn"]
    assert refused == [
        "3: a quote is not closed; check the quotes",
        "4: a quote is not closed; check the quotes",
    ]


@pytest.mark.parametrize(
    ("written", "domain"),
    [
        ("https://example.com/index.html?a=b", "example.com"),
        ("HTTP://user@Example.com:8080", "example.com"),
        ("ｅｘａｍｐｌｅ．ｃｏｍ", "example.com"),
        ("例子。中国", "xn--fsqu00a.xn--fiqs8s"),
        ("\ufeff example.com.\u00a0", "example.com"),
        ("example.com/", "example.com"),
    ],
)
def test_a_domain_is_read_as_people_write_it(written: str, domain: str) -> None:
    result, refused = read(f"a.cn\n{written}\n")
    assert (list(result.filings), refused) == (["a.cn", domain], [])


def test_names_below_a_registrable_domain_are_offered_as_that() -> None:
    text = "www.example.com\nexample.cn\nshop.a.com.cn\nwww.example.cn\n"
    found = read_file(text.encode())
    told: list[RefusedLine] = []
    kept = read_list(found, refuse=told.append, warn=told.append)
    assert list(kept.filings) == text.split()
    assert kept.below_count == 3
    assert [(line.line, line.reason) for line in kept.below] == [
        (1, "lies below example.com"),
        (3, "lies below a.com.cn"),
        (4, "lies below example.cn"),
    ]
    found = read_file(text.encode())
    taken = read_list(found, registrable=True, refuse=told.append, warn=told.append)
    assert told == []
    assert list(taken.filings) == ["example.com", "example.cn", "a.com.cn"]
    assert (taken.below_count, taken.repeated) == (0, 1)


def test_a_repeated_line_is_counted_and_a_contradiction_refused() -> None:
    result, refused = read(
        "domain,status\nexample.com,filed\nEXAMPLE.com,filed\nexample.com,suspended\n",
        is_csv=True,
    )
    assert result.filings["example.com"].status is Status("filed")
    assert result.repeated == 1
    assert refused == ["4: line 2 says otherwise about this domain"]


@given(st.lists(st.text(max_size=30), max_size=30), st.booleans())
def test_whatever_is_in_a_list_only_fileable_domains_are_taken(
    lines: list[str], is_csv: bool
) -> None:
    try:
        result, _ = read("\n".join(["domain", *lines]), is_csv=is_csv)
    except ListError:
        return
    for domain, filing in result.filings.items():
        check_fileable(domain)
        assert filing.domain == domain
