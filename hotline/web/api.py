"""The programming interface, version 1: tickets, their life, reviews from counters."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("api", __name__, url_prefix="/api/v1")
