"""Clocks of a ticket: calendars, profiles, the count, what is granted and what changes it (domain.md 2.4, 2.5)."""
