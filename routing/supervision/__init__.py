"""Supervision (督办): triggers, the sweep, cards, alarms, urging and orders (domain.md 2.11)."""
