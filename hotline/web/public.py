"""The citizen's pages: hand in a concern, track it, rate it."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("public", __name__)
