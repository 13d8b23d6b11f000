"""The 12345 hotline: the ground floor (core, people, telephony, tickets, intake) and the roof (web, wiring, app)."""
