"""What keeps the house from opening, in one sentence for the person who typed the command."""

from __future__ import annotations

from hotline.core.errors import HotlineError


class CannotStart(HotlineError):
    """Something that the program needs could not be started."""

    say = "系统未能启动。"
    code = "cannot_start"
