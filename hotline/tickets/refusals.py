"""Why a concern may be refused and what to tell its citizen; who takes a matter over (domain.md 1.5, 2.13)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One reason of the list: its words for the desk, and the way that the citizen is told."""

    code: str
    words: str
    #: What to tell the citizen; the person at the desk completes it.
    advice: str


REASONS: Final[tuple[Reason, ...]] = (
    Reason(
        code="NR-01",
        words="属于 110、119、120、122 受理的紧急事项",
        advice="该事项属于紧急警情，请立即拨打相应的紧急电话，我们已同时为您转接。",
    ),
    Reason(
        code="NR-02",
        words="应通过诉讼、仲裁、复议、信息公开等法定途径解决",
        advice="该事项法律规定了专门途径，请向有管辖权的机关提出，热线不能代替其作出决定。",
    ),
    Reason(code="NR-03", words="已进入信访渠道", advice="该事项信访部门正在办理，请凭受理告知书通过原渠道查询进展。"),
    Reason(
        code="NR-04",
        words="涉及国家秘密、工作秘密、商业秘密或他人隐私",
        advice="相关信息依法不能公开，本人信息请持有效证件到主管部门查询。",
    ),
    Reason(code="NR-05", words="违反法律法规或公序良俗", advice="所提要求不符合法律法规规定，热线不能受理。"),
    Reason(
        code="NR-06", words="不属于本市行政区域", advice="事项发生地不在本市，请拨打当地 12345 热线（区号加 12345）。"
    ),
    Reason(
        code="NR-07",
        words="属于党委、人大、政协、司法、军队或群团组织职责",
        advice="该事项不在政务热线受理范围内，请向相应机关或组织反映。",
    ),
    Reason(
        code="NR-08",
        words="同一事项正在办理，或已依法办结且无新事实",
        advice="该事项已有工单在办或已有明确结论，请凭原工单编号查询。",
    ),
    Reason(
        code="NR-09",
        words="恶意攻击、骚扰，无实质诉求",
        advice="来电没有可以办理的具体诉求，热线资源应留给需要帮助的人。",
    ),
    Reason(
        code="NR-10",
        words="内容不具体或无法联系，无法办理",
        advice="请补充时间、地点、经过和联系方式后再次反映，我们会及时办理。",
    ),
)
_BY_CODE: Final[Mapping[str, Reason]] = {reason.code: reason for reason in REASONS}

#: Who takes a matter over.
TRANSFER_TARGETS: Final = ("110 报警服务台", "119 消防救援", "120 急救中心", "122 交通事故报警", "其他热线或机关")


def words(code: str | None) -> str:
    """Return the words of a reason; the code itself when a city's own list went further than ours."""
    if not code:
        return ""
    found = _BY_CODE.get(code)
    return found.words if found else code
