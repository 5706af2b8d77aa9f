"""The score table at the paper's size, against pandas with its defaults: ``python -m benchmarks.speed.parquet``."""

import tempfile
from pathlib import Path

import click
import numpy as np
import pandas as pd

from benchmarks.common import seconds, spread, write
from faig.attribution.filters import FilterIndex
from faig.experiments.score_table import Key, read_discovered, write_scores
from faig.networks.models import SRResNet


@click.command()
@click.option("--runs", default=5)
def main(runs: int) -> None:
    """Measure and write benchmarks/speed/results/parquet.json."""
    index, generator = FilterIndex.of(SRResNet(64, 16, 2)), np.random.default_rng(0)
    keys = [Key(f"method{number}", name) for number in range(6) for name in ("blur", "noise", "jpeg")]
    rankings = {key: generator.standard_normal(index.num_filters).astype(np.float32) for key in keys}
    with tempfile.TemporaryDirectory() as folder:
        path, other = Path(folder, "scores.parquet"), Path(folder, "pandas.parquet")
        writing = [seconds(lambda: write_scores(path, index, rankings, {})) for _ in range(runs)]
        asked = (path, 0.01, index.num_filters, ["method0"], ["blur"])
        reading = [seconds(lambda: read_discovered(*asked)) for _ in range(runs)]
        table = pd.read_parquet(path)
        rows = len(table)
        plain = [seconds(lambda: table.to_parquet(other)) for _ in range(runs)]
        filters = [("method", "==", "method0"), ("degradation", "==", "blur"), ("rank", "<", 1519)]
        searched = [seconds(lambda: pd.read_parquet(other, filters=filters)) for _ in range(runs)]
        sizes = {"megabytes": path.stat().st_size / 1e6, "pandas_megabytes": other.stat().st_size / 1e6}
    times = {"write_seconds": writing, "read_seconds": reading, "pandas_write_seconds": plain}
    times |= {"pandas_read_seconds": searched}
    ratios = {
        kind: spread([other / own for own, other in zip(times[kind], times[f"pandas_{kind}"], strict=True)])
        for kind in ("write_seconds", "read_seconds")
    }
    spreads = {name: spread(values) for name, values in times.items()}
    write("speed/parquet", {"rows": rows, **spreads, **sizes, "pandas_over_ours": ratios})


if __name__ == "__main__":
    main()
