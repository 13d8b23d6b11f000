"""The tests, by kind: see docs/floor-plan.md."""
