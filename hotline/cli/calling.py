"""`hotline call`: play a carrier's exchange, to try calls by relay numbers on a running installation."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Final

import click

from hotline.cli import Refused, installed

_PATH: Final = "/webhooks/voice/relay"
_PATIENCE_S: Final = 30
#: Straight to this machine, whatever proxy the environment names.
_STRAIGHT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_CITIZEN: Final = {"answers": "completed", "busy": "busy", "away": "no-answer", "unreachable": "failed"}


@click.command(help="扮演运营商，从一部电话拨打中间号，试验接通过程（只用于自带的模拟运营商）。")
@click.option("--from", "caller", required=True, metavar="PHONE", help="拨打所用的电话，须先在任务页面登记")
@click.option("--extension", required=True, help="中间号“转”后面的分机号")
@click.option(
    "--citizen",
    type=click.Choice(list(_CITIZEN)),
    default="answers",
    show_default=True,
    help="诉求人接听、忙、没接、关机",
)
@click.option("--seconds", type=click.IntRange(1, 1_800), default=30, show_default=True, help="通话多少秒")
def call(*, caller: str, extension: str, citizen: str, seconds: int) -> None:
    """Call and tell what was heard."""
    from hotline.telephony.simulator import SimulatedExchange
    from hotline.wiring import open_installation

    settings = installed()
    if settings.carrier != "recorder":
        raise Refused("已接入真实运营商（HOTLINE_CARRIER），不能模拟来电。")
    base = f"http://127.0.0.1:{settings.port}"
    calls = open_installation(settings).calls
    exchange = SimulatedExchange(
        ask=lambda path, form, signature: _ask(base + path, form, signature),
        sign=lambda url, form: calls.sign(url=url, form=form),
        base=settings.public_url or base,
    )
    heard = exchange.call(_PATH, caller=caller, digits=extension, citizen=_CITIZEN[citizen], talked_s=seconds)
    for words in heard.said:
        click.echo(f"听到：{words}")
    # Whom it reached is nobody's business, here as everywhere.
    click.echo("已转接诉求人。" if heard.connected_to else "没有转接。")


def _ask(url: str, form: Mapping[str, str], signature: str) -> str:
    asked = urllib.request.Request(  # noqa: S310 - our own address
        url, data=urllib.parse.urlencode(form).encode(), headers={"X-Twilio-Signature": signature}
    )
    try:
        with _STRAIGHT.open(asked, timeout=_PATIENCE_S) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, TimeoutError) as error:
        raise Refused(f"网站没有应答（{getattr(error, 'reason', error)}）：请先启动系统，并用同样的 PORT。") from error
