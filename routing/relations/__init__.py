"""Tickets that belong together: merges and incidents (domain.md 1.7)."""
