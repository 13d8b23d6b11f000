"""Measures the running system; nothing here is a test, and figures stand beside their comparison in one run."""
