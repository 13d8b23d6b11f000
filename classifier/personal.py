"""Personal data in running text: numbers by pattern, names and homes by how people introduce themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from classifier import text
from hotline.core import personal_data

NAME: Final = "name"
ADDRESS: Final = "address"


@dataclass(frozen=True, kw_only=True)
class PersonalSpan:
    """A stretch of the original title or body that says who somebody is."""

    field: str
    start: int
    end: int
    text: str
    kind: str
    """One of `hotline.core.personal_data.PersonalKind`, or `name`, or `address`."""


_SURNAMES: Final = (
    "欧阳|司马|上官|诸葛|夏侯|东方|皇甫|尉迟|公孙|慕容|令狐|司徒|长孙|宇文|"
    "[赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻柏水窦章云苏潘葛奚范彭郎鲁韦昌马苗凤花方俞"
    "任袁柳鲍史唐费廉岑薛雷贺倪汤滕殷罗毕郝邬安常乐于时傅皮卞齐康伍余元卜顾孟平黄和穆萧尹姚邵湛汪祁毛禹狄米贝明臧计伏成戴"
    "宋茅庞熊纪舒屈项祝董梁杜阮蓝闵席季麻强贾路娄危江童颜郭梅盛林刁钟徐邱骆高夏蔡田樊胡凌霍虞万支柯管卢莫房裘缪解应宗丁宣"
    "邓郁单杭洪包诸左石崔吉龚程邢裴陆荣翁荀羊甄曲封芮储靳焦巴车侯班仰秋仲伊宫宁仇甘厉戎祖武符刘景詹束龙叶幸司黎薄印白"
    "怀蒲从索赖卓屠蒙池乔胥苍双闻党翟谭贡劳姬申扶堵冉雍桑桂牛寿通边燕冀浦尚农温庄晏柴瞿阎连习容向古易廖庾终步都耿满弘匡国"
    "文寇广东殴利师巩聂晁勾敖融冷辛阚简饶曾沙养鞠须丰巢关相查后红游竺权盖桓公涂仝付肖闫覃代邝]"
)
# A name is taken only after words by which people introduce somebody, so that 王 in 王府井 stays.
_INTRODUCED: Final = re.compile(
    r"(?:我叫|我是叫|我的名字(?:是|叫)|本人叫|本人姓名|姓名(?:是|为)?|名叫|名字叫|联系人|投诉人|举报人|申请人|反映人|当事人|来电人|署名|我姓名)"
    rf"[:是为叫]?({_SURNAMES})([\u4e00-\u9fff]{{1,2}}?)"
    r"(?=[,。;、!?(\[\s\n]|电话|手机|身份证|男|女|今年|家住|住在|住|现|是|于|的|在|,|$|联系|号码|\d|来自|系|户籍|来|和|跟|及)"
)
_SELF: Final = re.compile(rf"(?:本人|我是|我叫)({_SURNAMES})([\u4e00-\u9fff]{{1,2}})(?=[,。;、(]|男|女|\d)")
_NOT_NAMES: Final = re.compile(
    r"(?:业主|居民|村民|市民|员工|职工|学生|家长|老师|师傅|先生|女士|小姐|同志|群众|户主|租户|农民|司机|车主|公司|单位|小区|社区|学校|医院|工程|物业|全体|一名|一位)"
)
_FAMILY_ONLY: Final = re.compile(rf"(?:我姓|免贵姓|本人姓)({_SURNAMES})(?![\u4e00-\u9fff]?名)")
_HOME: Final = re.compile(
    r"(?:我家?住(?:在|址)?|家住|本人住|现住|住址|家庭(?:住址|地址)|我家在|我住在?|地址(?:是|为)?|户籍(?:地址|所在地)?)[:是为在]?"
    r"((?:[\u4e00-\u9fffa-z0-9]{2,30}?)(?:\d{1,5}|[一二三四五六七八九十]{1,3}|[a-z]\d{0,3})"
    r"(?:号楼|号院|栋|幢|座|号|单元|弄|组|室|户|楼|层|#|-\d{1,5})"
    r"(?:[a-z0-9一二三四五六七八九十]{1,5}(?:号楼|栋|幢|座|单元|号|室|户|楼|层|房|-\d{1,5}){0,1}){0,4})"
)


def find(value: str, *, field: str = "body") -> tuple[PersonalSpan, ...]:
    """Return the personal stretches in order, never overlapping; numbers first, then homes, then names."""
    value = value[: text.MOST_CHARACTERS]
    taken = [
        PersonalSpan(
            field=field, start=span.start, end=span.end, text=value[span.start : span.end], kind=str(span.kind)
        )
        for span in personal_data.find(value)
    ]
    folded = text.folded(value)
    for kind, start, end in _introductions(folded):
        if not any(start < one.end and one.start < end for one in taken):
            taken.append(PersonalSpan(field=field, start=start, end=end, text=value[start:end], kind=kind))
    return tuple(sorted(taken, key=lambda span: span.start))


def redact(value: str) -> str:
    """Return the text with each personal stretch replaced by what it was, e.g. 【姓名】."""
    pieces, at = [], 0
    for span in find(value):
        pieces += [value[at : span.start], f"【{_SHOWN.get(span.kind, '个人信息')}】"]
        at = span.end
    return "".join([*pieces, value[at:]])


_SHOWN: Final = {
    NAME: "姓名",
    ADDRESS: "住址",
    "phone": "手机号",
    "id_number": "身份证号",
    "landline": "座机号",
    "bank_card": "银行卡号",
    "email": "邮箱",
    "plate": "车牌号",
    "messenger": "社交账号",
}


def _introductions(folded: str) -> list[tuple[str, int, int]]:
    found = [(ADDRESS, match.start(1), match.end(1)) for match in _HOME.finditer(folded)]
    for pattern in (_INTRODUCED, _SELF):
        for match in pattern.finditer(folded):
            name = match.group(1) + match.group(2)
            if not _NOT_NAMES.search(folded[match.start(1) : match.end(2) + 2]) and name not in _COMMON:
                found.append((NAME, match.start(1), match.end(2)))
    found += [(NAME, match.start(1), match.end(1)) for match in _FAMILY_ONLY.finditer(folded)]
    return sorted(found, key=lambda one: (one[0] != ADDRESS, one[1]))


_COMMON: Final = frozenset(
    {
        "高中生",
        "方面",
        "关于",
        "向您",
        "成都",
        "安全",
        "常住",
        "明天",
        "时候",
        "于是",
        "应该",
        "单身",
        "相关",
        "解决",
        "公民",
        "都是",
        "通过",
        "广东",
        "东方",
        "国家",
        "文明",
    }
)
