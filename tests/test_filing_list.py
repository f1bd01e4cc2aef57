"""Lists of filed domains: what is taken, and what is refused with which reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.filing_list import FilingList, ListError, Refusal, read_list
from gate.names import check_fileable
from gate.replica import Filing, Status

LICENCE = "京ICP备12345678号-1"


def read(text: str, *, is_csv: bool = False) -> tuple[FilingList, list[str]]:
    refused: list[Refusal] = []
    result = read_list(text.splitlines(keepends=True), is_csv=is_csv, refuse=refused.append)
    assert result.refused == len(refused)
    return result, [f"{refusal.line}: {refusal.reason}" for refusal in refused]


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
        ("https://example.com", "a domain has no port; leave it out"),
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
        ("example.com,x,filed", "licence number 'x' is not well formed"),
        ("example.com,,maybe", "status 'maybe' is none of filed, filed_elsewhere, suspended"),
        ("example.com,,revoked", "status 'revoked' is none of filed"),
        ("example.com", "1 cells under 3 columns"),
        ("example.com,,filed,more", "4 cells under 3 columns"),
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
    "header", ["licence,status", "domain,colour", "domain,domain", "example.com"]
)
def test_a_csv_header_must_name_known_columns(header: str) -> None:
    with pytest.raises(ListError, match=r"line 2: the header is .*; write `domain` or"):
        read(f"# list\n{header}\nexample.com\n", is_csv=True)


def test_broken_quotes_name_the_line() -> None:
    with pytest.raises(ListError, match=r"line 3: not CSV: .*; check the quotes"):
        read('domain\nexample.com\n"example.net"x\n', is_csv=True)


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
