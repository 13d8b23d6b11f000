"""Answers on their way out: co-handlers' parts, what is worth a second look, and the hotline's review (审核)."""
