"""The ground: clock, errors, settings, database, outbox, permissions, sealing of personal data, text."""
