"""Why a concern may be refused (不予受理): the list, the words for the citizen, where to turn (domain.md 1.5).

A refusal is a closed ticket with a reason and words for the citizen, never a dropped call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One reason of the list."""

    code: str
    #: The reason as it is recorded.
    words: str
    #: What the operator says; a person may change it before it is sent.
    script: str
    #: The proper channel for this matter.
    channel: str

    @property
    def told(self) -> str:
        """The words for the citizen: what is said, then where to turn."""
        return f"{self.script}\n正确途径：{self.channel}"


_LIST: Final = (
    Refusal(
        code="NR-01",
        words="属 110、119、120、122 处置的紧急警情",
        script="您说的情况需要马上处置，我现在为您转接相应的紧急电话，请不要挂机，并先保证自身安全。",
        channel="报警 110，火警 119，急救 120，交通事故 122。",
    ),
    Refusal(
        code="NR-02",
        words="应当或已经通过诉讼、仲裁、纪检监察、行政复议、政府信息公开程序解决",
        script="这件事法律规定了专门的程序，热线不能代替有权机关作出决定，请您按程序提出。",
        channel="诉讼找法院，劳动争议找劳动仲裁机构，复议找复议机关，检举公职人员找纪检监察机关，信息公开向公开义务机关申请。",
    ),
    Refusal(
        code="NR-03",
        words="已进入信访渠道办理",
        script="这件事信访部门已经受理，为免重复办理、答复不一，请您继续从原渠道了解进展。",
        channel="凭受理告知书向受理的信访部门查询，或在网上信访平台查询。",
    ),
    Refusal(
        code="NR-04",
        words="涉及国家秘密、工作秘密、商业秘密、个人隐私或他人个人信息",
        script="您要了解的内容依法不能公开，或属于他人的个人信息，热线不能查询和提供。",
        channel="本人信息请携有效证件到主管部门窗口查询；他人信息须由有权机关依法调取。",
    ),
    Refusal(
        code="NR-05",
        words="违反法律法规或公序良俗",
        script="您提出的要求与法律法规或公序良俗不符，热线不能受理；有其他合理诉求我可以为您登记。",
        channel="可拨打 12348 公共法律服务热线了解有关规定。",
    ),
    Refusal(
        code="NR-06",
        words="不在本市行政区域内",
        script="您反映的事项发生在外地，本市没有管辖权，请向当地热线反映。",
        channel="加拨事发地区号再拨 12345，或通过省级平台反映。",
    ),
    Refusal(
        code="NR-07",
        words="属党委、人大、政协、法院、检察院、军队、武警、群团组织职责",
        script="这件事由有关机关和组织负责，不在政府热线受理范围内，请向其公布的渠道反映。",
        channel="法院 12368，检察院 12309，纪检监察 12388，其他机关请联系其接待部门。",
    ),
    Refusal(
        code="NR-08",
        words="同一事项正在办理，或已依法办结且没有新的事实和理由",
        script="您反映的这件事已有工单在办（或已依法办结），今天补充的情况已记入原工单，请以原工单的答复为准。",
        channel="凭原受理编号和查询码在网上查询，或来电查询。",
    ),
    Refusal(
        code="NR-09",
        words="恶意攻击、骚扰，或没有实质诉求",
        script="热线需要为更多市民服务。如果没有具体诉求，本次通话将要结束，有需要时欢迎再次来电。",
        channel="有具体诉求时可随时来电或在网上提交。",
    ),
    Refusal(
        code="NR-10",
        words="内容不具体、无法办理，且缺少有效联系方式",
        script="目前的内容缺少时间、地点、对象或联系方式，承办单位无法核实，请补充后再提出。",
        channel="补齐时间、地点、具体对象和联系电话后，来电或在网上重新提交。",
    ),
)

#: Whoever had nothing to ask for was told so on the telephone; there is nowhere else to send him to.
NR_HARASSMENT: Final = "NR-09"
NOT_TEXTED: Final = frozenset({NR_HARASSMENT})
#: Code -> reason, in the order of the list.
REFUSALS: Final[Mapping[str, Refusal]] = MappingProxyType({reason.code: reason for reason in _LIST})
