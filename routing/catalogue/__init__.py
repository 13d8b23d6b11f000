"""The dispatch catalogue (派单目录), the places it speaks of and the tree of departments (domain.md 2.3)."""
