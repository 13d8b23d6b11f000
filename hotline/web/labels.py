"""Words for people: every member of every enum, with the tone of its tag."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from callbacks.models import ReviewVerdict
from callbacks.policy import AttemptOutcome, Satisfaction, Verdict
from callbacks.policy import Solved as CallbackSolved
from hotline.core.permissions import Role
from hotline.core.queues import QueueName
from hotline.telephony.models import MessageState
from hotline.tickets.states import Act, Outcome, State
from hotline.tickets.transfer_models import Direction, FinalOwner, Manner
from hotline.tickets.vocabulary import Channel, Kind, LookReason, RequestType, Urgency
from routing.answers.part_models import PartEnding, PartKind
from routing.answers.vetting_models import VettingState
from routing.answers.vetting_rules import VettingMode
from routing.catalogue.models import CatalogueState, TrialState
from routing.catalogue.rules import Flaw
from routing.clocks.deadlines import Card
from routing.clocks.models import AdjustmentKind, AdjustmentState
from routing.duty.rules import RETURN_REASONS, Cause, DisputeState, ReturnState, RulingState, Seat, Stance
from routing.learning.label_models import LabelTask, Provenance
from routing.learning.models import LearningAct, ModelState, Side, TrainingState
from routing.learning.selective import LimitState
from routing.learning.word_models import EditionState, WordKind
from routing.models import DepartmentKind, Ending, Solved, Standing
from routing.relations.models import Place
from routing.supervision.models import NoticeEnding, NoticeForm
from routing.supervision.triggers import BY_TRIGGER, NoticeKind, Told, Trigger


@dataclass(frozen=True)
class Label:
    """What a tag shows."""

    words: str
    tone: str = "neutral"


_TONES: Final = {
    Trigger.RED_CARD: "danger",
    Trigger.REDO_UNHAPPY: "danger",
    Trigger.NOTICE_LATE: "danger",
    Trigger.NOTICE_SENT: "info",
    Trigger.NOTICE_ACCOUNTED: "info",
}

# A table of pairs, not a dict: members of two enums with the same value are equal as texts.
LABELS: Final[tuple[tuple[StrEnum, Label], ...]] = (
    (Role.OPERATOR, Label("话务员")),
    (Role.DISPATCHER, Label("派单员")),
    (Role.RESPONDER, Label("承办人员")),
    (Role.AUDITOR, Label("回访员")),
    (Role.SUPERVISOR, Label("督办主管")),
    (Role.ADMINISTRATOR, Label("系统管理员")),
    (Role.ARBITER, Label("职责裁定员")),
    (Role.DEVICE, Label("评价终端")),
    (Role.EXCHANGE, Label("联动平台")),
    (Role.PUBLIC, Label("诉求人")),
    (Role.SYSTEM, Label("系统")),
    (State.REGISTERED, Label("待派单", "warning")),
    (State.DISPATCHED, Label("待签收", "warning")),
    (State.SIGNED, Label("办理中", "info")),
    (State.ANSWERED, Label("待回访", "info")),
    (State.CLOSED, Label("已办结", "success")),
    (Outcome.ANSWERED_DIRECTLY, Label("直接答复", "success")),
    (Outcome.REFUSED, Label("不予受理", "neutral")),
    (Outcome.TRANSFERRED, Label("已转接", "neutral")),
    (Outcome.WITHDRAWN, Label("已撤单", "neutral")),
    (Outcome.CONFIRMED, Label("回访办结", "success")),
    (Outcome.UNREACHABLE, Label("无法联系", "neutral")),
    (Outcome.DECLINED, Label("拒绝回访", "neutral")),
    (LookReason.CONTACT, Label("联系诉求人办理诉求")),
    (LookReason.CALLBACK, Label("回访诉求人")),
    (LookReason.VERIFY, Label("核实身份或地点")),
    (LookReason.LAWFUL, Label("依法调取")),
    (Act.REGISTER, Label("登记受理")),
    (Act.ANSWER_DIRECTLY, Label("直接答复")),
    (Act.REFUSE, Label("不予受理")),
    (Act.TRANSFER, Label("转接")),
    (Act.WITHDRAW, Label("撤单")),
    (Act.DISPATCH, Label("派单")),
    (Act.SIGN, Label("签收")),
    (Act.SEND_BACK, Label("退单生效")),
    (Act.ASK_RETURN, Label("申请退单")),
    (Act.WITHDRAW_RETURN, Label("撤回退单申请")),
    (Act.REFUSE_RETURN, Label("驳回退单")),
    (Act.OPEN_DISPUTE, Label("职责争议立案")),
    (Act.ARGUE, Label("提交争议意见")),
    (Act.CONVENE, Label("组成裁定小组")),
    (Act.RULE, Label("职责裁定")),
    (Act.DESIGNATE, Label("指定承办")),
    (Act.REASSIGN, Label("按裁定或指定改派")),
    (Act.ANSWER, Label("反馈")),
    (Act.CONFIRM, Label("回访办结")),
    (Act.GIVE_UP_CALLING, Label("多次未接通，办结")),
    (Act.DECLINE_CALLBACK, Label("拒绝回访，办结")),
    (Act.REWORK, Label("重办")),
    (Act.AMEND, Label("修改")),
    (Act.ATTACH, Label("添加附件")),
    (Act.CALL, Label("回访未成")),
    (Act.CONTACT, Label("联系诉求人")),
    (Act.NOTE, Label("备注")),
    (Act.RATE, Label("诉求人评价")),
    (Act.REVEAL, Label("查看个人信息")),
    (Act.REPEAT, Label("重复来电")),
    (Act.SUGGEST, Label("模型建议")),
    (Act.VERIFY, Label("差评核实")),
    (Act.RECTIFY, Label("整改")),
    (Act.ASK_SUSPENSION, Label("申请挂起")),
    (Act.ASK_EXTENSION, Label("申请延期")),
    (Act.TAKE_BACK, Label("撤回申请")),
    (Act.SUSPEND, Label("批准挂起")),
    (Act.RESUME, Label("恢复计时")),
    (Act.EXTEND, Label("批准延期")),
    (Act.REFUSE_TIME, Label("驳回时限申请")),
    (Act.RECLASSIFY, Label("调整时限类别")),
    (Act.SHARE, Label("分派协办")),
    (Act.SIGN_PART, Label("协办签收")),
    (Act.ANSWER_PART, Label("协办反馈")),
    (Act.END_PART, Label("收回任务")),
    (Act.CLEAR_ANSWER, Label("审核通过")),
    (Act.SEND_BACK_ANSWER, Label("审核退回")),
    (VettingState.WAITING, Label("待审核", "warning")),
    (VettingState.PASSED, Label("审核通过", "success")),
    (VettingState.SENT_BACK, Label("审核退回", "danger")),
    (VettingMode.OFF, Label("不审核")),
    (VettingMode.SAMPLED, Label("重点审核加抽查")),
    (VettingMode.ALL, Label("全部审核")),
    (PartKind.ASSIST, Label("协办", "info")),
    (PartKind.FORWARD, Label("转办下级", "info")),
    (PartEnding.ANSWERED, Label("已反馈", "success")),
    (PartEnding.LEFT_OUT, Label("未等待", "danger")),
    (PartEnding.WITHDRAWN, Label("已收回")),
    (PartEnding.LAPSED, Label("已失效")),
    (AdjustmentKind.SUSPENSION, Label("挂起")),
    (AdjustmentKind.EXTENSION, Label("延期")),
    (AdjustmentKind.RECLASSIFICATION, Label("调整类别")),
    (AdjustmentKind.RETURN_REFUSED, Label("退单驳回")),
    (AdjustmentState.ASKED, Label("待审批", "warning")),
    (AdjustmentState.APPROVED, Label("已批准", "success")),
    (AdjustmentState.REFUSED, Label("已驳回", "danger")),
    (AdjustmentState.LAPSED, Label("已失效")),
    (Act.CARD, Label("红黄牌")),
    (Act.URGE, Label("催办")),
    (Act.SUPERVISE, Label("督办")),
    (Act.ACCOUNT, Label("回应督办")),
    (Act.SETTLE, Label("督办审核")),
    (Act.RECALL, Label("收回")),
    (Act.MERGE, Label("并单")),
    (Act.UNMERGE, Label("解除并单")),
    (Act.RECEIVE_TRANSFER, Label("联动转入")),
    (Act.SETTLE_TRANSFER, Label("联动最终承办")),
    (Direction.IN, Label("转入", "info")),
    (Direction.OUT, Label("转出")),
    (Manner.CALL, Label("一键转接")),
    (Manner.CONFERENCE, Label("三方通话")),
    (Manner.EXCHANGE, Label("数据推送")),
    (FinalOwner.HOTLINE, Label("12345 办理", "info")),
    (FinalOwner.OTHER_LINE, Label("对方办理")),
    (FinalOwner.BOTH, Label("双方分别办理", "warning")),
    (Place.MAIN, Label("主单", "info")),
    (Place.MEMBER, Label("并入")),
    (Kind.CONCERN, Label("诉求")),
    (Kind.BAD_REVIEW, Label("差评", "danger")),
    (Channel.PHONE, Label("电话")),
    (Channel.WEB, Label("网站")),
    (Channel.WECHAT, Label("微信")),
    (Channel.APP, Label("APP")),
    (Channel.SMS, Label("短信")),
    (Channel.EMAIL, Label("邮箱")),
    (Channel.PROVINCE, Label("省平台")),
    (Channel.MAYOR_MAILBOX, Label("市长信箱")),
    (Channel.POLICE_110, Label("110 转办")),
    (Channel.REVIEW, Label("好差评")),
    (Channel.IMPORT, Label("批量导入")),
    (RequestType.CONSULTATION, Label("咨询")),
    (RequestType.HELP, Label("求助")),
    (RequestType.COMPLAINT, Label("投诉")),
    (RequestType.TIP_OFF, Label("举报")),
    (RequestType.PROPOSAL, Label("建议")),
    (RequestType.PRAISE, Label("表扬")),
    (RequestType.OTHER, Label("其他")),
    (Urgency.VERY_URGENT, Label("特急", "danger")),
    (Urgency.URGENT, Label("紧急", "warning")),
    (Urgency.ORDINARY, Label("一般")),
    (DepartmentKind.HOTLINE, Label("热线中心")),
    (DepartmentKind.BUREAU, Label("市直部门")),
    (DepartmentKind.DISTRICT, Label("县区政府")),
    (DepartmentKind.STREET, Label("街道乡镇")),
    (DepartmentKind.HANDLER, Label("基层承办")),
    (DepartmentKind.COMPANY, Label("公共企业")),
    (Ending.SENT_BACK, Label("已退单", "warning")),
    (Ending.REWORKED, Label("转入重办", "warning")),
    (Ending.CLOSED, Label("已办结", "success")),
    (Ending.WITHDRAWN, Label("已撤单")),
    (Ending.REASSIGNED, Label("已改派", "warning")),
    (Standing.ORDINARY, Label("一般派单")),
    (Standing.INTERIM, Label("争议期间先行办理", "warning")),
    (Standing.BINDING, Label("裁定或指定承办，不得退单", "info")),
    (Cause.RETURNS, Label("多次退单无人承办")),
    (Cause.HOTLINE, Label("热线提请")),
    (Cause.DEPARTMENT, Label("承办单位提请")),
    (DisputeState.OPEN, Label("待裁定", "warning")),
    (DisputeState.RULED, Label("已裁定", "success")),
    (DisputeState.DESIGNATED, Label("已指定承办", "info")),
    (DisputeState.LAPSED, Label("已终止")),
    (Seat.HOTLINE, Label("热线中心")),
    (Seat.ESTABLISHMENT, Label("机构编制部门")),
    (Seat.JUSTICE, Label("司法行政部门")),
    (Seat.OTHER, Label("其他部门")),
    (Stance.OURS, Label("属本单位职责", "success")),
    (Stance.NOT_OURS, Label("不属本单位职责", "warning")),
    (Stance.WE_HELP, Label("愿意协办", "info")),
    (RulingState.PROPOSED, Label("待会签", "warning")),
    (RulingState.IN_FORCE, Label("已生效", "success")),
    (RulingState.DROPPED, Label("未通过")),
    *((reason, Label(words)) for reason, words in RETURN_REASONS.items()),
    (ReturnState.OPEN, Label("待审核", "warning")),
    (ReturnState.UPHELD, Label("已同意", "info")),
    (ReturnState.REFUSED, Label("已驳回", "danger")),
    (ReturnState.WITHDRAWN, Label("已撤回")),
    (ReturnState.LAPSED, Label("已终止")),
    (Solved.SOLVED, Label("已解决", "success")),
    (Solved.PARTLY, Label("部分解决", "warning")),
    (Solved.UNSOLVED, Label("未解决", "danger")),
    (CallbackSolved.SOLVED, Label("解决", "success")),
    (CallbackSolved.MOSTLY, Label("基本解决", "info")),
    (CallbackSolved.UNSOLVED, Label("未解决", "danger")),
    (Satisfaction.SATISFIED, Label("满意", "success")),
    (Satisfaction.MOSTLY, Label("基本满意", "info")),
    (Satisfaction.UNSATISFIED, Label("不满意", "danger")),
    (Verdict.CLOSE, Label("办结", "success")),
    (Verdict.REWORK, Label("重办", "warning")),
    (Verdict.UNREACHABLE, Label("无法联系")),
    (Verdict.DECLINED, Label("拒绝回访")),
    (AttemptOutcome.REACHED, Label("已接通", "success")),
    (AttemptOutcome.NO_ANSWER, Label("无人接听", "warning")),
    (AttemptOutcome.BUSY, Label("忙线", "warning")),
    (AttemptOutcome.WRONG_NUMBER, Label("号码有误", "danger")),
    (AttemptOutcome.DECLINED, Label("拒绝回访")),
    (ReviewVerdict.JUSTIFIED_SIMPLE, Label("合理，立行立改", "danger")),
    (ReviewVerdict.JUSTIFIED_COMPLEX, Label("合理，限期整改", "danger")),
    (ReviewVerdict.NO_LEGAL_BASIS, Label("诉求无法定依据", "info")),
    (ReviewVerdict.MISTAKEN, Label("误评")),
    (ReviewVerdict.MALICIOUS, Label("恶意差评")),
    (ReviewVerdict.INVALID, Label("无效评价")),
    (LabelTask.CATEGORY, Label("类别")),
    (LabelTask.DEPARTMENT, Label("承办单位")),
    (LabelTask.REQUEST_TYPE, Label("诉求类型")),
    (Provenance.CHOSEN, Label("人工选择")),
    (Provenance.ACCEPTED, Label("采纳建议", "success")),
    (Provenance.CHANGED, Label("改派他处", "warning")),
    (Provenance.PROPOSED, Label("退单单位建议")),
    (Provenance.AMENDED, Label("事后更正", "warning")),
    (Provenance.REDISPATCHED, Label("退单后改派", "warning")),
    (Provenance.ANSWERED, Label("承办确认", "success")),
    (Provenance.RETURN_UPHELD, Label("退单成立", "danger")),
    (Provenance.RETURN_REFUSED, Label("退单不成立", "info")),
    (Provenance.AUDITED, Label("标注复核", "info")),
    (Provenance.RULED, Label("职责裁定", "info")),
    (ModelState.CANDIDATE, Label("待启用", "info")),
    (ModelState.IN_USE, Label("在用", "success")),
    (ModelState.RETIRED, Label("已停用")),
    (ModelState.REFUSED, Label("未通过", "warning")),
    (TrainingState.WAITING, Label("等待开始")),
    (TrainingState.RUNNING, Label("训练中", "info")),
    (TrainingState.DONE, Label("已完成", "success")),
    (TrainingState.FAILED, Label("未完成", "danger")),
    (Side.TRAIN, Label("训练")),
    (Side.HOLDOUT, Label("留存")),
    (Side.NEITHER, Label("不用")),
    (LimitState.PROVEN, Label("守住承诺", "success")),
    (LimitState.UNPROVEN, Label("证据不足", "neutral")),
    (LimitState.TIGHTENED, Label("已收紧", "warning")),
    (LimitState.CLOSED, Label("转人工", "danger")),
    (WordKind.DICTIONARY, Label("专有词")),
    (WordKind.PLACE, Label("地名")),
    (WordKind.SYNONYM, Label("同义说法")),
    (WordKind.STOP, Label("停用词")),
    (WordKind.RISK, Label("风险词")),
    (WordKind.URGENCY, Label("紧急词")),
    (EditionState.DRAFT, Label("草稿", "info")),
    (EditionState.PUBLISHED, Label("生效", "success")),
    (EditionState.RETIRED, Label("已停用")),
    (LearningAct.ASKED, Label("请求训练")),
    (LearningAct.TRAINED, Label("训练完成", "info")),
    (LearningAct.REFUSED, Label("未通过比较", "warning")),
    (LearningAct.PROMOTED, Label("启用", "success")),
    (LearningAct.ROLLED_BACK, Label("回退", "warning")),
    (LearningAct.FAILED, Label("训练未完成", "danger")),
    (LearningAct.SETTINGS, Label("修改设置")),
    (LearningAct.TIGHTENED, Label("门槛收紧", "danger")),
    (LearningAct.LOOSENED, Label("门槛放宽", "info")),
    (LearningAct.SETTLED, Label("标注复核")),
    (LearningAct.WORDS, Label("词表发布")),
    (LearningAct.CATALOGUE, Label("类别调整")),
    (MessageState.WAITING, Label("待发送")),
    (MessageState.SENDING, Label("发送中", "info")),
    (MessageState.SENT, Label("已发送", "success")),
    (MessageState.FAILED, Label("发送失败", "danger")),
    (Card.NONE, Label("")),
    (Card.YELLOW, Label("黄牌", "warning")),
    (Card.RED, Label("红牌", "danger")),
    (NoticeKind.URGE, Label("催办", "warning")),
    (NoticeKind.SUPERVISE, Label("督办", "danger")),
    (NoticeForm.SYSTEM, Label("系统督办")),
    (NoticeForm.WRITTEN, Label("书面督办")),
    (NoticeForm.SPECIAL, Label("专项督办", "warning")),
    (NoticeForm.COMMAND, Label("督办令", "danger")),
    (NoticeEnding.ACCEPTED, Label("已办结", "success")),
    (NoticeEnding.REFUSED, Label("回复未通过", "danger")),
    (NoticeEnding.LIFTED, Label("已解除")),
    (Told.DEPARTMENT, Label("承办单位")),
    (Told.LEADER, Label("单位及其领导")),
    (Told.ABOVE, Label("上级单位")),
    (Told.CENTRE, Label("热线中心")),
    *((trigger, Label(rule.words, _TONES.get(trigger, "warning"))) for trigger, rule in BY_TRIGGER.items()),
    (QueueName.DEFAULT, Label("日常")),
    (QueueName.TELEPHONY, Label("电话短信")),
    (QueueName.CLASSIFIER, Label("文本分类")),
    (QueueName.REPORTS, Label("统计报表")),
    (CatalogueState.DRAFT, Label("草案", "info")),
    (CatalogueState.PUBLISHED, Label("已发布", "success")),
    (CatalogueState.RETIRED, Label("已停用")),
    (TrialState.WAITING, Label("排队中", "info")),
    (TrialState.RUNNING, Label("试算中", "info")),
    (TrialState.DONE, Label("已完成", "success")),
    (TrialState.FAILED, Label("未完成", "danger")),
    (Flaw.CLOSED_LEAD, Label("主办单位已停用", "danger")),
    (Flaw.CLOSED_CO_HANDLER, Label("协办单位已停用", "danger")),
    (Flaw.RETIRED_CATEGORY, Label("类别已停用", "danger")),
    (Flaw.UNREACHABLE, Label("不会生效", "warning")),
    (Flaw.CROSSING, Label("范围交叉", "warning")),
    (Flaw.NO_OWNER, Label("属地无兜底单位", "warning")),
    (Flaw.NO_ROW, Label("没有条目", "warning")),
)

_BY_CLASS: Final = {(type(member), member.value): label for member, label in LABELS}


def label(member: StrEnum | None) -> Label:
    """Return the words and tone of an enum's member; an empty label for nothing."""
    return _BY_CLASS[type(member), member.value] if member is not None else Label("")


def words(member: StrEnum | None) -> str:
    """Return the words of an enum's member."""
    return label(member).words


def act(value: str) -> str:
    """Return the words of an act given by its stored value."""
    return words(Act(value))


def options(members: Iterable[StrEnum]) -> list[tuple[str, str]]:
    """Return value and words of each member, for a choice."""
    return [(member.value, words(member)) for member in members]
