"""The department's desk (承办单位): sign, contact, answer, send back."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("department", __name__)
