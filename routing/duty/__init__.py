"""Whose duty a ticket is: returns (退单) and disputes (职责争议) (domain.md 2.6, 2.7)."""
