"""The auditor's desk (回访员): the queue, the four questions, the result."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("callback", __name__)
