"""Example sentences of a category on screen: pasted a line each, tried on past tickets, kept, taken out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import Invalid
from hotline.core.permissions import Permission
from hotline.tickets import queries as ticket_queries
from hotline.web import forms, present
from hotline.web.admin.words import Change
from hotline.web.gate import actor, db, now, page, tools
from routing.learning import category_examples
from routing.learning.category_examples import Preview

bp = Blueprint("category_examples", __name__, url_prefix="/admin/categories")

_MOST_TYPED = 200_000


@dataclass(frozen=True, kw_only=True)
class Line:
    """One sentence of the list."""

    id: int
    body: str
    at: str
    tone: None = None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What the pasted sentences would do, in words."""

    words: Sequence[str]
    said: Sequence[category_examples.Said]
    changes: Sequence[Change]
    save: str


@dataclass(frozen=True, kw_only=True)
class ExamplesPage:
    """What stands on the page."""

    code: str
    path: str
    definition: str
    rows: Sequence[Line]
    told: str
    #: Only a leaf in use is told apart by what citizens say.
    takes: bool
    typed: str = ""
    trial: Trial | None = None
    errors: Mapping[str, list[str]] = field(default_factory=dict)


@bp.get("/<code>/examples")
@page(Permission.CATALOGUE_EDIT)
def show(code: str) -> ResponseReturnValue:
    """Show the sentences of a category and the form for more."""
    return render_template("administration/category_examples.html", page=_page(code))


@bp.post("/<code>/examples")
@page(Permission.CATALOGUE_EDIT)
def act(code: str) -> ResponseReturnValue:
    """Preview pasted sentences, or keep them."""
    raw = forms.text("lines")[:_MOST_TYPED]
    try:
        if forms.text("act") == "save":
            with db().begin() as session:
                count = category_examples.add(session, code=code, raw=raw, by=actor(), now=now())
            forms.told("success", f"已保存 {count} 条例句，几秒内在所有进程生效，下次训练时学习。")
            return redirect(url_for("category_examples.show", code=code), 303)
        with db().read() as session:
            found = category_examples.preview(session, tools().suggester, code=code, raw=raw, by=actor())
    except Invalid as error:
        found_errors = _page(code, typed=raw, errors=error.fields)
        return render_template("administration/category_examples.html", page=found_errors), 422
    return render_template("administration/category_examples.html", page=_page(code, typed=raw, trial=_trial(found)))


@bp.post("/<code>/examples/<int:example_id>/remove")
@page(Permission.CATALOGUE_EDIT)
def remove(code: str, example_id: int) -> ResponseReturnValue:
    """Take one sentence out."""
    with db().begin() as session:
        category_examples.remove(session, code=code, example_id=example_id, by=actor(), now=now())
    forms.told("success", "已删除 1 条例句。")
    return redirect(url_for("category_examples.show", code=code), 303)


def _page(
    code: str, *, typed: str = "", trial: Trial | None = None, errors: Mapping[str, list[str]] | None = None
) -> ExamplesPage:
    with db().read() as session:
        found = ticket_queries.category(session, code)
        rows = category_examples.of(session, code)
        takes = category_examples.takes(session, code)
    missing = category_examples.ENOUGH - len(rows)
    told = f"已有 {len(rows)} 条例句" + (f"，再写 {missing} 条即可主要按例句判断。" if missing > 0 else "。")
    return ExamplesPage(
        code=code,
        path=found.path,
        definition=found.definition,
        rows=[Line(id=one.id, body=one.body, at=present.moment(one.at)) for one in rows],
        told=told,
        takes=takes,
        typed=typed,
        trial=trial,
        errors=errors or {},
    )


def _trial(found: Preview) -> Trial:
    right = sum(one.found for one in found.said)
    words = [f"共 {len(found.fresh)} 条。"]
    if found.redacted:
        words.append(f"其中 {found.redacted} 条含个人信息，保存时已替换为【姓名】【手机号】等字样。")
    if not found.answers:
        words.append("分类模型不可用，现在看不到会改变什么；可以照常保存。")
    elif found.learnt:
        words.append("分类模型已学过这个类别：例句从下次训练起生效，这里只列出模型现在的判断。")
    else:
        words.append(f"逐条只看其余例句：{len(found.said)} 条中有 {right} 条首先判为本类别。")
        words.append(f"最近 {found.tickets} 件工单中，{found.changed} 件的首选类别会改变。")
    return Trial(
        words=words,
        said=found.said if found.answers else (),
        changes=[
            Change(
                number=one.number, href=url_for("tickets.show", number=one.number), before=one.before, after=one.after
            )
            for one in found.changes
        ],
        save=f"保存 {len(found.fresh)} 条例句",
    )
