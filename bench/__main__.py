"""`python -m bench`: the whole measurement."""

from __future__ import annotations

from bench.run import main

main()
