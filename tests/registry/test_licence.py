"""Licence numbers, as the filing documents write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.registry.errors import RegistryError
from gate.registry.licence import (
    PROVINCES,
    ServiceKind,
    ServiceNumber,
    SubjectNumber,
    check_province,
    parse_licence,
    parse_service,
    parse_subject,
)

SUBJECT = SubjectNumber("鲁", "09090609")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("鲁ICP备09090609号", SUBJECT),
        ("鲁ICP备09090609号-2", ServiceNumber(SUBJECT, ServiceKind.WEBSITE, 2)),
        ("鲁ICP备09090609号-3A", ServiceNumber(SUBJECT, ServiceKind.APP, 3)),
        ("陇ICP备123456789号", SubjectNumber("陇", "123456789")),
        ("甘ICP备12345678号", SubjectNumber("甘", "12345678")),
        ("鲁ICP备09090609号-999999", ServiceNumber(SUBJECT, ServiceKind.WEBSITE, 999999)),
        ("京ICP备2021012345号", SubjectNumber("京", "2021012345")),
    ],
)
def test_a_licence_number_is_read_and_written_alike(
    text: str, number: SubjectNumber | ServiceNumber
) -> None:
    assert parse_licence(text) == number
    assert str(number) == text


@pytest.mark.parametrize(
    ("text", "part_of_reason"),
    [
        ("", "empty"),
        ("09090609", "ICP备"),
        ("京ICP证030173号", "operating licence"),
        ("山东ICP备09090609号", "one province abbreviation"),
        ("ICP备09090609号", "one province abbreviation"),
        ("火ICP备09090609号", "abbreviation of a province"),
        ("XICP备09090609号", "abbreviation of a province"),
        ("鲁ICP备09090609", "号"),
        ("鲁ICP备0909060号", "8 to 10 digits"),
        ("鲁ICP备12345678901号", "8 to 10 digits"),
        ("鲁ICP备０９０９０６０９号", "8 to 10 digits"),
        ("鲁ICP备0909a609号", "8 to 10 digits"),
        ("鲁ICP备09090609号-0", "-N"),
        ("鲁ICP备09090609号-02", "-N"),
        ("鲁ICP备09090609号-", "-N"),
        ("鲁ICP备09090609号-2B", "-N"),
        ("鲁ICP备09090609号-2a", "-N"),
        ("鲁ICP备09090609号-1234567", "-N"),
        ("鲁ICP备09090609号－2", "-N"),
        ("鲁ICP备09090609号-2\n", "-N"),
        ("鲁ICP备09090609号-2;DROP TABLE subjects", "-N"),
        (" 鲁ICP备09090609号", "one province abbreviation"),
        ("鲁icp备09090609号", "ICP备"),
    ],
)
def test_what_is_no_licence_number_is_refused_with_the_reason(
    text: str, part_of_reason: str
) -> None:
    with pytest.raises(RegistryError) as caught:
        parse_licence(text)
    assert caught.value.code == "licence_invalid"
    assert part_of_reason in caught.value.en
    assert "鲁ICP备09090609号-2" in caught.value.zh  # an example to go by


def test_subject_and_service_numbers_are_not_taken_for_each_other() -> None:
    with pytest.raises(RegistryError, match="without -N"):
        parse_subject("鲁ICP备09090609号-2")
    with pytest.raises(RegistryError, match="with -N"):
        parse_service("鲁ICP备09090609号")


def test_every_province_level_region_of_the_mainland_has_an_abbreviation() -> None:
    assert len(set(PROVINCES.values())) == 31


@pytest.mark.parametrize("text", ["", "山东", "鲁鲁", "X", "港", "台"])
def test_what_is_no_province_is_refused(text: str) -> None:
    with pytest.raises(RegistryError) as caught:
        check_province(text)
    assert caught.value.code == "province_unknown"


@given(
    st.sampled_from(sorted(PROVINCES)),
    st.text("0123456789", min_size=8, max_size=10),
    st.sampled_from(ServiceKind),
    st.integers(1, 999999),
)
def test_every_number_survives_writing_and_reading(
    province: str, serial: str, kind: ServiceKind, site: int
) -> None:
    number = ServiceNumber(SubjectNumber(province, serial), kind, site)
    assert parse_service(str(number)) == number
    assert parse_subject(str(number.subject)) == number.subject


@given(st.text(max_size=40) | st.from_regex(r".ICP备[0-9]{7,11}号(-[0-9]{0,3}A?)?"))
def test_any_text_is_read_exactly_or_refused(text: str) -> None:
    try:
        written = str(parse_licence(text))
    except RegistryError as error:
        written = error.code
    assert written in {text, "licence_invalid"}
