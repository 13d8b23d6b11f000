"""The operator's desk (话务员): a call form made for speed."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("intake", __name__)
