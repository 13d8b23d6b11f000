"""Calling citizens back: plan, attempt, record, judge; and the loop of bad reviews (差评)."""
