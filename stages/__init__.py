"""Stages of the pipeline: one command each, which knows the paths and leaves the maths to the package."""

import os

# Before PyTorch is imported: its threads wait for each other actively, but not for long. Alone, a training is as fast
# as with GNU OpenMP's default; of two on the same cores, each gets half the rate instead of a third.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
