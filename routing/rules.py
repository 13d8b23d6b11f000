"""May the model's suggestion go out by itself? Pure; the answer is a department or the reason for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from hotline.tickets.vocabulary import Urgency

#: Under this name an administrator decides what may go out by itself.
AUTOMATIC_SETTING: Final = "automatic_dispatch"


@dataclass(frozen=True, kw_only=True)
class AutomaticPolicy:
    """What the administrator allows (setting `automatic_dispatch`)."""

    on: bool = True
    #: The least probability of the lead department.
    least: float = 0.9
    #: Category codes (or their beginnings) that always go to a person.
    excluded: tuple[str, ...] = field(default_factory=tuple)
    #: What goes out by itself is right at least this often, proven in use (routing/learning/selective.py).
    promise: float = 0.98
    #: How sure the model must be by the record in use: category code -> probability; "" holds for all others.
    limits: Mapping[str, float] = field(default_factory=dict)

    def limit_for(self, category: str) -> float:
        """Return the probability that is needed in a category; above 1 means that people dispatch."""
        return max(self.least, self.limits.get(category, self.limits.get("", self.least)))

    @classmethod
    def from_setting(cls, value: dict[str, Any] | None, *, limits: Mapping[str, float] | None = None) -> Self:
        """Read the stored setting; what is missing has its default."""
        given = value or {}
        return cls(
            on=bool(given.get("on", True)),
            least=float(given.get("least", 0.9)),
            excluded=tuple(str(code) for code in given.get("excluded", ())),
            promise=float(given.get("promise", 0.98)),
            limits=dict(limits or {}),
        )


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A department to send to by itself, or the reason in words why a person decides."""

    department: str = ""
    reason: str = ""

    @property
    def automatic(self) -> bool:
        """Tell whether it goes by itself."""
        return bool(self.department)


def decide(  # noqa: C901, PLR0911, PLR0913 - one line per reason, one argument per thing known
    *,
    policy: AutomaticPolicy,
    category: str,
    lead: str,
    probability: float,
    abstained: bool,
    risks: Sequence[str],
    urgency: Urgency,
    territorial: str,
    stated: str = "",
    catalogue: str = "",
    catalogue_name: str = "",
    ruled: str = "",
    ruled_name: str = "",
) -> Decision:
    """Decide on one suggestion (issue of the dispatcher's desk: the sure ones go, the unsure ones stand here).

    `lead` is the suggested department's code, `district` meaning "the government of the place"; `territorial` is
    that place's department, or empty when the region is not known. `stated` is the category that a person chose, for
    which the exclusions hold as for the model's. `catalogue` is the lead that the dispatch catalogue names: where the
    model says another, nobody goes by himself (domain.md 10.9). `ruled` is the lead named by a ruling that
    weighs more than the catalogue; the same holds for it.
    """
    if not policy.on:
        return Decision(reason="自动派单已由管理员关闭。")
    if risks:
        return Decision(reason=f"含风险标记（{'、'.join(risks)}），须人工研判。")
    if urgency is Urgency.VERY_URGENT:
        return Decision(reason="特急事项须人工派单。")
    if abstained or not lead:
        return Decision(reason="模型把握不足，未给出承办单位。")
    if any(one.startswith(code) for code in policy.excluded for one in (category, stated) if one):
        return Decision(reason="该类别已设为人工派单。")
    needed = policy.limit_for(category)
    if needed > 1:
        return Decision(reason="该类别近期自动派单的准确率没有守住承诺，暂由人工派单。")
    if probability < needed:
        return Decision(reason=f"把握 {probability:.0%}，低于自动派单要求的 {needed * 100:g}%。")
    if lead == "district" and not territorial:
        return Decision(reason="属地事项，所属区域尚不明确。")
    chosen = territorial if lead == "district" else lead
    if ruled and ruled != chosen:
        return Decision(reason=f"模型建议与裁定先例不一致，先例主办为{ruled_name or ruled}，须人工研判。")
    if catalogue and catalogue != chosen:
        return Decision(reason=f"模型建议与派单目录不一致，目录主办为{catalogue_name or catalogue}，须人工研判。")
    return Decision(department=chosen)
