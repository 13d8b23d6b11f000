"""`hotline audit`: recompute the invariants; exit code 1 and the list where one does not close."""

from __future__ import annotations

import json
import sys

import click

from hotline.cli import installed
from hotline.core import clock


@click.command(help="从台账重新核算全部不变式；有不符的列出并以 1 退出。")
@click.option("--json", "as_json", is_flag=True, help="以 JSON 输出")
def audit(*, as_json: bool) -> None:
    """Recompute and tell."""
    from hotline.wiring import open_installation
    from reports.audit import audit as recompute
    from reports.audit import rules

    tools = open_installation(installed())
    with tools.db.begin() as session:
        findings = recompute(session, now=clock.now())
    broken = {finding.rule: finding for finding in findings}
    if as_json:
        click.echo(
            json.dumps(
                {"ok": not findings, "findings": {f.rule: list(f.offenders) for f in findings}}, ensure_ascii=False
            )
        )
    else:
        for name, words in rules():
            found = broken.get(name)
            click.echo(f"{'✗' if found else '✓'} {words}")
            for offender in found.offenders if found else ():
                click.echo(f"    {offender}")
        click.echo(f"共 {len(rules())} 项，{len(findings)} 项不符。")
    sys.exit(1 if findings else 0)
