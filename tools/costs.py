"""The table of speed and memory, from the benchmarks' results under benchmarks/speed."""

from pathlib import Path

from tools.tables import Json, Row, Tables, read_json, table, times


def training_row(found: Json) -> Row:
    """Iterations a second, ours and the rival's."""
    machine, (width, depth), (size, patch) = found["machine"], found["network"], found["batch"]
    own, rival = (found[f"{kind}iterations_per_second"]["median"] for kind in ("", "rival_"))
    on, digits = (f", on {machine['cuda']}", 0) if machine["cuda"] else ("", 2)
    graph = f"; {times(found['graph'], 1)} faster than without a CUDA graph" if "graph" in found else ""
    processes, precision = machine["cores"], "fp32 (TF32)" if machine["cuda"] else "fp32"
    return (
        f"training SRResNet {width} x {depth}, batches of {size} patches of {patch}, 2K images{on}",
        f"{own:.{digits}f} iterations a second: {times(found['speedup'], 1)} faster{graph}",
        f"{rival:.2f}: a PNG opened for each patch in {processes} processes, {precision} in PyTorch's default layout",
    )


def costs(root: Path) -> str:
    """Speed and memory beside the rivals'."""
    scoring, scaling, parquet = (
        read_json(root / f"benchmarks/speed/results/{name}.json") for name in ("scoring", "scaling", "parquet")
    )
    rows: list[Row] = []
    for size in (128, 256):
        own = scoring[f"{size}x{size}"]
        what = f"scores of both degradations, one {size} x {size} input each, {scoring['nodes']} nodes"
        rival = f"{own['authors_seconds']['median']:.0f} s: the authors' procedure, 100 left steps for each ranking"
        rows.append((what, f"{own['seconds']['median']:.0f} s: {times(own['speedup'], 0)} faster", rival))
    error, agreed = 100 * scoring["relative_error"], 100 * scoring["top1_agreement"]
    reference = scoring["reference"]
    inputs = f"the worst of {len(reference['by_seed'])} inputs of {reference['size']} x {reference['size']}"
    what = f"accuracy of those {scoring['nodes']} nodes, against {reference['nodes']}, {inputs}"
    rows.append((what, f"scores differ by {error:.1f} %; {agreed:.1f} % of the top 1 % agree", ""))
    peaks = "; ".join(f"{value:.1f} GiB" for value in scoring["peak_memory_gib"].values())
    rows.append(("peak memory: 256 x 256; 678 x 1020 in tiles", peaks, ""))
    rows.append(("two processes of one thread against one", times(scaling["processes"]["speedup"], 2), ""))
    own, rival = (
        (
            parquet[f"{kind}write_seconds"]["median"],
            parquet[f"{kind}megabytes"],
            parquet[f"{kind}read_seconds"]["median"],
        )
        for kind in ("", "pandas_")
    )
    cells = [f"{write:.2f} s, {size:.0f} MB; {1000 * read:.3g} ms" for write, size, read in (own, rival)]
    rows.append(
        (
            f"score table of {parquet['rows'] / 1e6:.1f} million rows: write; read one top 1 %",
            cells[0],
            f"pandas: {cells[1]}",
        )
    )
    rows += [
        training_row(read_json(root / f"benchmarks/speed/results/{name}.json"))
        for name in ("training", "training_cuda")
    ]
    synthesis = read_json(root / "benchmarks/speed/results/synthesis.json")
    height, width = synthesis["size"]
    by_name = synthesis["degradations"].values()
    most, loop = ([each["megapixels_per_second"][kind]["median"] for each in by_name] for kind in ("2", "loop"))
    rows.append(
        (
            f"LR images of {width} x {height} photographs, 2 workers, {len(most)} degradations",
            f"{min(most):.1f} to {max(most):.1f} megapixels a second",
            f"{min(loop):.1f} to {max(loop):.1f}: one image after the other",
        )
    )
    return table(("what", "ours", "the rival"), rows)


TABLES: Tables = {"costs": costs}
