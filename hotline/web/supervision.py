"""The supervisor's desk: what is open, due and overdue."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("supervision", __name__)
