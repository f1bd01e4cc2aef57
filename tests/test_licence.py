"""Licence numbers, as the filing documents write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.licence import (
    OTHER_ABBREVIATIONS,
    PROVINCES,
    LicenceError,
    ServiceKind,
    ServiceNumber,
    SubjectNumber,
    looks_like_licence,
    parse,
)
from gate.registry.errors import RegistryError
from gate.registry.fields import check_province, parse_licence, parse_service, parse_subject

SUBJECT = SubjectNumber("鲁", "09090609")
OPERATOR = SubjectNumber("京", "030173", "ICP证")
PERMIT = SubjectNumber("粤", "20090059", "B2")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("鲁ICP备09090609号", SUBJECT),
        ("鲁ICP备09090609号-2", ServiceNumber(SUBJECT, ServiceKind.WEBSITE, 2)),
        ("鲁ICP备09090609号-3A", ServiceNumber(SUBJECT, ServiceKind.APP, 3)),
        ("鲁ICP备09090609号-4X", ServiceNumber(SUBJECT, ServiceKind.MINI_PROGRAM, 4)),
        ("鲁ICP备09090609号-5K", ServiceNumber(SUBJECT, ServiceKind.QUICK_APP, 5)),
        ("鲁ICP备09090609号-999999", ServiceNumber(SUBJECT, ServiceKind.WEBSITE, 999999)),
        ("陇ICP备123456789号", SubjectNumber("陇", "123456789")),
        ("京ICP备2021012345号", SubjectNumber("京", "2021012345")),
        # As the authority has issued them: `design/filing.md`, "Licence numbers as they exist".
        ("京ICP备030066号", SubjectNumber("京", "030066")),
        ("京ICP备030066号-1", ServiceNumber(SubjectNumber("京", "030066"), ServiceKind.WEBSITE, 1)),
        ("沪ICP备20004178号", SubjectNumber("沪", "20004178")),
        ("滇ICP备2020009854号", SubjectNumber("滇", "2020009854")),
        ("京ICP证030173号", OPERATOR),
        ("京ICP证030173号-1", ServiceNumber(OPERATOR, ServiceKind.WEBSITE, 1)),
        ("粤B2-20090059", PERMIT),
        ("粤B2-20090059-5", ServiceNumber(PERMIT, ServiceKind.WEBSITE, 5)),
        ("粤B2-20090059-12A", ServiceNumber(PERMIT, ServiceKind.APP, 12)),
        ("粤B2-20090059-1626X", ServiceNumber(PERMIT, ServiceKind.MINI_PROGRAM, 1626)),
        ("沪A1.B2-20040647", SubjectNumber("沪", "20040647", "A1.B2")),
    ],
)
def test_a_licence_number_is_read_and_written_alike(
    text: str, number: SubjectNumber | ServiceNumber
) -> None:
    assert parse_licence(text) == number
    assert str(number) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (" 鲁ICP备09090609号 ", "鲁ICP备09090609号"),
        ("鲁 ICP 备 09090609 号 - 2", "鲁ICP备09090609号-2"),
        ("鲁\u3000ICP备09090609号-2\n", "鲁ICP备09090609号-2"),
        ("鲁ICP备\u00a009090609号-2", "鲁ICP备09090609号-2"),
        ("\ufeff鲁ICP备09090609号\u200b-2", "鲁ICP备09090609号-2"),
        ("鲁ICP备０９０９０６０９号", "鲁ICP备09090609号"),
        ("鲁ＩＣＰ备09090609号－２Ａ", "鲁ICP备09090609号-2A"),
        ("鲁ICP备09090609号－2", "鲁ICP备09090609号-2"),
        ("鲁ICP备09090609号—2", "鲁ICP备09090609号-2"),
        ("鲁ICP备09090609号–2", "鲁ICP备09090609号-2"),
        ("鲁ICP备09090609号‐2", "鲁ICP备09090609号-2"),
        ("鲁ICP备09090609号−2", "鲁ICP备09090609号-2"),
        ("鲁icp备09090609号-2a", "鲁ICP备09090609号-2A"),
        ("鲁Icp备09090609号-2x", "鲁ICP备09090609号-2X"),
        ("鲁ICP备09090609-2", "鲁ICP备09090609号-2"),
        ("鲁ICP备09090609", "鲁ICP备09090609号"),
        ("鲁ICP備09090609號-2", "鲁ICP备09090609号-2"),
        ("京ICP證030173號-1", "京ICP证030173号-1"),
        ("京icp证030173-1", "京ICP证030173号-1"),
        ("粤b2－20090059－5", "粤B2-20090059-5"),
        ("粤 Ｂ２—２００９００５９—1626ｘ", "粤B2-20090059-1626X"),
        ("粤B2-20090059号-5", "粤B2-20090059-5"),
        # One series for each province, in the issued form.
        ("川ICP备12345678号-1", "蜀ICP备12345678号-1"),
        ("贵ICP备12345678号", "黔ICP备12345678号"),
        ("云ICP备2020009854号", "滇ICP备2020009854号"),
        ("秦ICP备12345678号", "陕ICP备12345678号"),
        ("甘ICP备12345678号", "陇ICP备12345678号"),
        ("川B2-20090059-5", "蜀B2-20090059-5"),
    ],
)
def test_a_number_is_read_however_people_write_it_and_written_in_one_way(
    text: str, number: str
) -> None:
    assert str(parse_licence(text)) == number
    assert looks_like_licence(text)


@pytest.mark.parametrize(
    ("text", "part_of_reason"),
    [
        ("", "empty"),
        (" ", "empty"),
        ("09090609", "ICP备"),
        ("山东ICP备09090609号", "one province abbreviation is due before “ICP备”"),
        ("ICP备09090609号", "one province abbreviation"),
        ("ICP证030173号", "one province abbreviation is due before “ICP证”"),
        ("火ICP备09090609号", "abbreviation of a province"),
        ("XICP备09090609号", "abbreviation of a province"),
        ("火B2-20090059", "abbreviation of a province"),
        ("B2-20090059", "ICP备"),
        ("粤C2-20090059", "ICP备"),
        ("鲁ICP备09090号", "6 to 10 digits"),
        ("鲁ICP备12345678901号", "6 to 10 digits"),
        ("鲁ICP备0909a609号", "6 to 10 digits"),
        ("粤B2-59", "6 to 10 digits"),
        ("鲁ICP备09090609号-0", "-N"),
        ("鲁ICP备09090609号-02", "-N"),
        ("鲁ICP备09090609号-", "-N"),
        ("鲁ICP备09090609号-2B", "-N"),
        ("鲁ICP备09090609号-1234567", "-N"),
        ("鲁ICP备09090609号-2;DROP TABLE subjects", "-N"),
        ("京公网安备11010502030001号", "公网安备 is the public security register"),
        ("京公网安备 1101 0502 0300 01 号", "公网安备 is the public security register"),
        ("公网安备11010502030001号", "公网安备 is the public security register"),
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


@pytest.mark.parametrize(
    ("text", "is_meant"),
    [
        ("京公网安备11010502030001号", True),
        ("icp09090609号", True),
        ("鲁ICP备", True),
        ("粤B2-2", True),
        ("icp.example.com", False),
        ("example.com", False),
        ("某某网络公司", False),
        ("ICP", False),
        ("", False),
    ],
)
def test_a_licence_number_is_told_from_a_domain_and_a_name(text: str, is_meant: bool) -> None:
    assert looks_like_licence(text) is is_meant


def test_a_long_text_takes_no_longer_than_it_is() -> None:
    """Neither the grammar nor the search for the fault walks a text again and again."""
    text = "鲁" + "ICP" * 1_000_000
    assert not looks_like_licence(text)
    with pytest.raises(RegistryError):
        parse_licence(text)


def test_subject_and_service_numbers_are_not_taken_for_each_other() -> None:
    with pytest.raises(RegistryError, match="without -N"):
        parse_subject("鲁ICP备09090609号-2")
    with pytest.raises(RegistryError, match="with -N"):
        parse_service("鲁ICP备09090609号")


def test_every_province_level_region_of_the_mainland_has_one_abbreviation() -> None:
    assert len(PROVINCES) == len(set(PROVINCES.values())) == 31
    assert not set(OTHER_ABBREVIATIONS) & set(PROVINCES)
    assert set(OTHER_ABBREVIATIONS.values()) <= set(PROVINCES)


@pytest.mark.parametrize(
    ("text", "province"),
    [
        ("鲁", "鲁"),
        *OTHER_ABBREVIATIONS.items(),
        ("山东省", "鲁"),
        ("四川", "蜀"),
        ("北京", "京"),
        ("上海市", "沪"),
        ("广西", "桂"),
        ("内蒙古", "蒙"),
        ("新疆维吾尔自治区", "新"),
        (" 浙江 ", "浙"),
    ],
)
def test_a_province_is_named_by_an_abbreviation_or_its_name(text: str, province: str) -> None:
    assert check_province(text) == province


@pytest.mark.parametrize("text", ["", "山", "鲁鲁", "X", "港", "台", "新疆维", "自治区"])
def test_what_is_no_province_is_refused(text: str) -> None:
    with pytest.raises(RegistryError) as caught:
        check_province(text)
    assert caught.value.code == "province_unknown"


NUMBERS = st.builds(
    ServiceNumber,
    st.builds(
        SubjectNumber,
        st.sampled_from(sorted(PROVINCES)),
        st.text("0123456789", min_size=6, max_size=10),
        st.sampled_from(["ICP备", "ICP证", "A1", "B2", "A2.B1.B2"]),
    ),
    st.sampled_from(ServiceKind),
    st.integers(1, 999999),
)


@given(NUMBERS)
def test_every_number_survives_writing_and_reading(number: ServiceNumber) -> None:
    assert parse_service(str(number)) == number
    assert parse_subject(str(number.subject)) == number.subject


@given(NUMBERS, st.sampled_from(["", " ", "\u3000"]), st.booleans(), st.sampled_from("-－—–"))
def test_how_a_number_is_written_changes_nothing(
    number: ServiceNumber, space: str, is_wide: bool, dash: str
) -> None:
    text = space.join(str(number).lower()).replace("-", dash)
    if is_wide:
        text = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    assert parse_service(text) == number


@given(st.text(max_size=40) | st.from_regex(r".(ICP[备证]|B2-)[0-9]{5,11}号?(-[0-9]{0,3}A?)?"))
def test_what_is_read_is_read_again_from_what_is_written(text: str) -> None:
    try:
        number = parse(text)
    except LicenceError:
        return
    assert parse(str(number)) == number
    assert str(parse(str(number))) == str(number)
