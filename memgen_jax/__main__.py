"""`python -m memgen_jax …` is the command `memgen …`."""

import sys

from memgen_jax.cli import main

sys.exit(main())
