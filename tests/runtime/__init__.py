"""Private servers and the supervisor, with real processes."""
