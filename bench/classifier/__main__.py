"""Run the figures: `python -m bench.classifier`."""

from __future__ import annotations

import sys

from bench.classifier.run import main

sys.exit(main())
