"""Accuracy and time of rules and nodes: ``python -m benchmarks.speed.quadrature``.

Errors are against 200 Gauss-Legendre nodes in fp64. The rival is the authors' rule, 100 left endpoints, in fp32:
``speedup`` is its time over a row's, run in turns.
"""

import click
import numpy as np

from benchmarks.common import DEGRADATIONS, agreement, compute, pairs, seconds, spread, trained, write
from faig.attribution.engine import Attribution, attribute_images
from faig.attribution.path import PathModel
from faig.attribution.quadrature import Nodes, QuadratureParams, quadrature

AUTHORS = ("fp32", "left", 100)
ROWS = [AUTHORS]
ROWS += [("fp32", rule, nodes) for rule in ("gausslegendre", "middle", "trapezoid") for nodes in (4, 8, 12, 16, 32)]
ROWS += [("fp32", rule, nodes) for rule in ("left", "right") for nodes in (12, 32)]
ROWS += [("fp32", "auto", tolerance) for tolerance in (0.02, 0.005)]
ROWS += [("bf16", "gausslegendre", 12), ("bf16", "gausslegendre", 16)]
"""Precision, rule and its number of nodes, of ``auto`` its tolerance."""


@click.command()
@click.option("--width", default=32)
@click.option("--depth", default=8)
@click.option("--size", default=48)
@click.option("--reference-nodes", default=200)
@click.option("--runs", default=3)
def main(width: int, depth: int, size: int, reference_nodes: int, runs: int) -> None:
    """Measure and write benchmarks/speed/results/quadrature.json."""
    network, baseline, target = trained(width, depth)
    images = pairs(size, size)
    precise = PathModel(network, baseline, target, compute("fp64"))
    exact = {
        n: attribute_images(precise, images[n], quadrature("gausslegendre", reference_nodes)).scores[0]
        for n in DEGRADATIONS
    }
    models = {name: PathModel(network, baseline, target, compute(name)) for name in ("fp32", "bf16")}

    def score(precision: str, rule: str, value: float) -> dict[str, Attribution]:
        nodes: Nodes | QuadratureParams = (
            QuadratureParams(rule="auto", num_nodes=4, max_nodes=256, tolerance=value)
            if rule == "auto"
            else quadrature(rule, int(value))  # pyright: ignore
        )
        return {name: attribute_images(models[precision], images[name], nodes) for name in DEGRADATIONS}

    rows = []
    for precision, rule, value in ROWS:
        found = score(precision, rule, value)  # warms up, too
        ours, rival = [], []
        for _ in range(runs):
            ours.append(seconds(lambda row=(precision, rule, value): score(*row)))
            rival.append(seconds(lambda: score(*AUTHORS)))
        errors = [np.linalg.norm(found[n].scores[0] - exact[n]) / np.linalg.norm(exact[n]) for n in DEGRADATIONS]
        rows.append(
            {
                "precision": precision,
                "rule": rule,
                "nodes": max(int(found[n].nodes[0]) for n in DEGRADATIONS),
                **({"tolerance": value} if rule == "auto" else {}),
                "seconds": spread(ours),
                "speedup": spread([other / own for own, other in zip(ours, rival, strict=True)]),
                "relative_error": float(max(errors)),
                "top1_agreement": min(agreement(found[n].scores[0], exact[n]) for n in DEGRADATIONS),
                "convergence_error": max(found[n].convergence_error for n in DEGRADATIONS),
            }
        )
    write(
        "speed/quadrature", {"network": [width, depth], "size": size, "reference_nodes": reference_nodes, "rows": rows}
    )


if __name__ == "__main__":
    main()
