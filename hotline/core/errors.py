"""One tree of errors; each says in Chinese what a person may read and do. No error here knows HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar


class HotlineError(Exception):
    """Anything that the product refuses on purpose."""

    say: ClassVar[str] = "操作未能完成，请稍后再试。"
    code: ClassVar[str] = "error"

    def __init__(self, message: str = "") -> None:
        """Keep the sentence for the person; without one the class's own is used."""
        super().__init__(message or self.say)

    @property
    def message(self) -> str:
        """The sentence to show."""
        return str(self)


class Invalid(HotlineError):
    """Input that breaks a rule, told field by field so that nothing has to be guessed."""

    say = "有内容需要修改，请按提示更正后重新提交。"
    code = "invalid"

    def __init__(self, fields: Mapping[str, str | Sequence[str]], message: str = "") -> None:
        """Keep, for each field name, one or more sentences."""
        super().__init__(message)
        self.fields: dict[str, list[str]] = {
            name: [text] if isinstance(text, str) else list(text) for name, text in fields.items()
        }


class NotFound(HotlineError):
    """Nothing here that this person may see."""

    say = "没有找到，或您无权查看。"
    code = "not_found"


class NotSignedIn(HotlineError):
    """The act needs a person who has signed in."""

    say = "请先登录。"
    code = "not_signed_in"


class Denied(HotlineError):
    """The person is known and may not do this."""

    say = "您没有进行此操作的权限，如确有需要请联系管理员。"
    code = "denied"


class WrongState(HotlineError):
    """The ticket is at a point of its life where this act is not on the map."""

    say = "工单当前状态不允许此操作，请刷新后查看最新状态。"
    code = "wrong_state"


class Conflict(HotlineError):
    """Two wishes that cannot both come true."""

    say = "与已有数据冲突，请核对后再试。"
    code = "conflict"


class StaleTicket(Conflict):
    """Somebody changed the ticket after this person last saw it; nothing was overwritten."""

    say = "在您编辑期间，工单已被他人修改，您的修改没有覆盖对方的内容。"
    code = "stale"

    def __init__(
        self,
        *,
        number: str,
        by: str,
        at: datetime | None,
        changes: Mapping[str, tuple[str, str]] | None = None,
        acts: Sequence[str] = (),
    ) -> None:
        """Keep who changed it, when, what (field -> before, after) and by which acts."""
        super().__init__()
        self.number, self.by, self.at = number, by, at
        self.changes: dict[str, tuple[str, str]] = dict(changes or {})
        self.acts = tuple(acts)


class TooLarge(HotlineError):
    """More than we take at once."""

    say = "内容或文件过大，请精简后重新提交。"
    code = "too_large"


class Throttled(HotlineError):
    """Too many tries; wait."""

    say = "尝试次数过多，请稍后再试。"
    code = "throttled"

    def __init__(self, message: str = "", *, retry_after_s: int = 60) -> None:
        """Keep how many seconds to wait."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(HotlineError):
    """Something that we lean on does not answer."""

    say = "系统暂时不可用，已提交的内容不会丢失，请稍后再试。"
    code = "unavailable"


class BrokenSeal(HotlineError):
    """A sealed value that none of our keys opens."""

    say = "个人信息无法解密：缺少对应的密钥，请联系管理员。"
    code = "broken_seal"
