"""Every ticket's own page, the query over all tickets, files and personal data."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("tickets", __name__)
