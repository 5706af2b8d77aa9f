"""Accuracy against nodes and rules: ``python benchmarks/quadrature.py``; against 200 Gauss-Legendre nodes in fp64."""

import click
import numpy as np
from common import DEGRADATIONS, agreement, compute, pairs, seconds, trained, write

from faig.attribution import faig
from faig.path import PathModel
from faig.quadrature import quadrature

RULES = ("gausslegendre", "left", "right", "middle", "trapezoid")


@click.command()
@click.option("--width", default=32)
@click.option("--depth", default=8)
@click.option("--size", default=48)
@click.option("--reference-nodes", default=200)
def main(width: int, depth: int, size: int, reference_nodes: int) -> None:
    """Measure and write results/quadrature.json."""
    network, baseline, target = trained(width, depth)
    images = pairs(size, size)
    precise = PathModel(network, baseline, target, compute("fp64"))
    exact = {n: faig(precise, images[n], quadrature("gausslegendre", reference_nodes)).scores[0] for n in DEGRADATIONS}
    rows = []
    for precision in ("fp32", "bf16"):
        model = PathModel(network, baseline, target, compute(precision))
        for rule in RULES:
            for num_nodes in (4, 8, 12, 16, 32, 100) if precision == "fp32" else (12, 16):
                nodes = quadrature(rule, num_nodes)
                found = {}
                elapsed = seconds(
                    lambda m=model, n=nodes, f=found: f.update({d: faig(m, images[d], n) for d in DEGRADATIONS})
                )
                errors = [
                    np.linalg.norm(found[n].scores[0] - exact[n]) / np.linalg.norm(exact[n]) for n in DEGRADATIONS
                ]
                rows.append(
                    {
                        "precision": precision,
                        "rule": rule,
                        "nodes": num_nodes,
                        "seconds": elapsed,
                        "relative_error": float(max(errors)),
                        "top1_agreement": min(agreement(found[n].scores[0], exact[n]) for n in DEGRADATIONS),
                        "convergence_error": max(found[n].convergence_error for n in DEGRADATIONS),
                    }
                )
    write("quadrature", {"network": [width, depth], "size": size, "reference_nodes": reference_nodes, "rows": rows})


if __name__ == "__main__":
    main()
