"""Merging and splitting categories on screen: what would happen to the examples, then the act itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from hotline.core.errors import HotlineError, Invalid
from hotline.core.permissions import Permission
from hotline.tickets.queries import categories
from hotline.web import forms
from hotline.web.errors import status_of
from hotline.web.gate import actor, db, now, page
from routing.learning import category_moves
from routing.learning.category_moves import MOST_TARGETS, Move

bp = Blueprint("moves", __name__, url_prefix="/model/categories")


@dataclass(frozen=True, kw_only=True)
class MovesPage:
    """The form, and what it would do."""

    choices: Sequence[tuple[str, str]]
    source: str = ""
    targets: tuple[str, ...] = ("",) * MOST_TARGETS
    preview: Sequence[tuple[str, str]] = ()
    total: int | None = None
    retires: bool = False
    errors: Mapping[str, list[str]] = field(default_factory=dict)


@bp.get("")
@page(Permission.CATALOGUE_EDIT)
def show() -> ResponseReturnValue:
    """Show the form."""
    return render_template("model/moves.html", page=_page("", (), None, {}))


@bp.post("")
@page(Permission.CATALOGUE_EDIT)
def act() -> ResponseReturnValue:
    """Preview, or carry out what was previewed."""
    source, targets = forms.text("source"), tuple(code for code in request.form.getlist("targets") if code)
    try:
        if forms.text("seen"):
            seen = forms.required("seen")
            with db().begin() as session:
                move = category_moves.migrate(session, source=source, targets=targets, seen=seen, by=actor(), now=now())
            forms.told("success", f"已迁移 {move.total} 件样本，下次训练起生效。")
            return redirect(url_for("moves.show"), 303)
        with db().read() as session:
            move = category_moves.preview(session, source=source, targets=targets, by=actor())
    except Invalid as error:
        return render_template("model/moves.html", page=_page(source, targets, None, error.fields)), 422
    except HotlineError as error:
        found = _page(source, targets, None, {"source": [error.message]})
        return render_template("model/moves.html", page=found), status_of(error)
    return render_template("model/moves.html", page=_page(source, targets, move, {}))


def _page(source: str, targets: Sequence[str], move: Move | None, errors: Mapping[str, list[str]]) -> MovesPage:
    with db().read() as session:
        choices = [(node.code, node.path) for node in categories(session) if node.is_leaf]
    names = dict(choices)
    told = [(names.get(code, code), f"{len(ids)} 件") for code, ids in move.going.items()] if move else []
    return MovesPage(
        choices=choices,
        source=source,
        targets=(*targets, *("",) * MOST_TARGETS)[:MOST_TARGETS],
        preview=[*told, ("不明确，不再用于学习", f"{len(move.unclear)} 件")] if move else [],
        total=move.total if move else None,
        retires=move is not None and source not in move.going,
        errors=errors,
    )
