"""The administrator's pages: users, departments, categories, settings, background work."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("administration", __name__)
