"""`python -m hotline.cli`, for a checkout whose `hotline` script is not on the path."""

from __future__ import annotations

from hotline.cli import main

if __name__ == "__main__":
    main(prog_name="hotline")
