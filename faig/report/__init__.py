"""From measurements to numbers: intervals, summaries and verdicts. Needs no PyTorch and no network."""
