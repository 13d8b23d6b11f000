"""What gives a person away is found in running text and replaced; what only looks like it stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotline.core.personal_data import PersonalKind, find, is_id_number, mask_address, mask_name, mask_phone, redact


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("请打13900001234找我", "请打【手机号】找我"),
        ("请打１３９００００１２３４找我", "请打【手机号】找我"),
        ("座机（0412）2345678", "座机【座机号】"),
        ("邮箱wang＠example．cn", "邮箱【邮箱】"),
        ("电话+86 139 0000 1234", "电话【手机号】"),
        ("电话139-0000-1234，谢谢", "电话【手机号】，谢谢"),
        ("座机0412-2345678", "座机【座机号】"),
        ("身份证990102199001011234", "身份证【身份证号】"),
        ("身份证99010219900101123X。", "身份证【身份证号】。"),
        ("邮箱wang.xm@example.cn", "邮箱【邮箱】"),
        ("车牌辽C12345乱停", "车牌【车牌号】乱停"),
        ("卡号4111 1111 1111 1111", "卡号【银行卡号】"),
        ("身份证 990102 19900101 1234", "身份证 【身份证号】"),
        ("身份证9901-0219-9001-0112-3X", "身份证【身份证号】"),
        ("电话139 000 01234", "电话【手机号】"),
        ("电话13900001234 2号楼", "电话【手机号】 2号楼"),
        ("电话1-3-9-0-0-0-0-1-2-3-4。", "电话【手机号】。"),
        ("王（139-0000-1234）", "王（【手机号】）"),
        ("电话139·0000·1234", "电话【手机号】"),
        ("电话139.0000.1234", "电话【手机号】"),
        ("电话（139）0000－1234", "电话【手机号】"),
        ("电话139—0000—1234", "电话【手机号】"),
        ("电话139　0000　1234", "电话【手机号】"),
        ("外地拨013900001234", "外地拨【手机号】"),
        ("电话幺三九零零零零幺二三四", "电话【手机号】"),
        ("电话①③⑨0000①②③④", "电话【手机号】"),
        ("座机0412－234 5678", "座机【座机号】"),
        ("加我微信：wangxm88", "加我【社交账号】"),
        ("QQ 1234567", "【社交账号】"),
        ("邮箱 wang @ example.cn", "邮箱 【邮箱】"),
        ("车牌辽·c12345乱停", "车牌【车牌号】乱停"),
        ("微信12345、微信公众号和微信支付100000元", "微信12345、微信公众号和微信支付100000元"),
        ("单号一三五七九，2026 1008 1345 12", "单号一三五七九，2026 1008 1345 12"),
        ("15-20 2026-10-8 每天13 14 15 16 17 18点", "15-20 2026-10-8 每天13 14 15 16 17 18点"),
        ("工单2026100800000012已办", "工单2026100800000012已办"),
        ("拨打12345和110没人接", "拨打12345和110没人接"),
        ("2026年10月08日 13:45 房价13900元", "2026年10月08日 13:45 房价13900元"),
        ("卡号4111 1111 1111 1112", "卡号4111 1111 1111 1112"),
        ("", ""),
    ],
)
def test_personal_data_are_replaced_by_their_kind(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@given(st.text(max_size=300))
def test_spans_never_overlap_and_lie_inside_the_text(text: str) -> None:
    at = 0
    for span in find(text):
        assert at <= span.start < span.end <= len(text)
        at = span.end


@given(st.text(alphabet="好的请处理，。 \n", max_size=40), st.integers(min_value=10**7, max_value=10**8 - 1))
def test_a_mobile_number_is_found_wherever_it_stands(words: str, tail: int) -> None:
    text = f"{words}139{tail:08d}{words}"
    assert f"139{tail:08d}" not in redact(text)


def test_the_check_digit_of_a_resident_number_is_checked() -> None:
    assert is_id_number("11010119900307123X") is (
        sum(
            int(d) * w
            for d, w in zip("11010119900307123", (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2), strict=True)
        )
        % 11
        == 2
    )
    assert not is_id_number("1101011990030712")
    assert not is_id_number("abc")


def test_masks_keep_just_enough_to_tell_two_people_apart() -> None:
    assert (mask_name("王小明"), mask_name("欧阳小明"), mask_name("")) == ("王**", "欧**", "")
    assert (mask_phone("13900001234"), mask_phone("110"), mask_phone("")) == ("*******1234", "***", "")
    assert (mask_address("望川市北苑区建设路1号"), mask_address("")) == ("望川市北苑区****", "")


def test_every_kind_has_its_words() -> None:
    assert {
        span.kind
        for span in find("13900001234 0412-2345678 990102199001011234 a@b.cn 辽C12345 QQ1234567 4111111111111111")
    } == set(PersonalKind)
