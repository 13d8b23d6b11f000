"""The dispatcher's desk (派单员): what the model was not sure of."""

from __future__ import annotations

from flask import Blueprint

bp = Blueprint("dispatch", __name__)
