"""Publish a finished run: ``python -m tools.publish srresnet_64x16 --test Set14 --terms "..." --to path/to/clone``.

Copies what a reader needs to check the results into ``published/<network>/runs/<test>``: params.yaml, metrics, plots,
the best tenth of each score table, time and memory by stage, machine, versions and commit; and the weights of baseline
and blind target into ``published/<network>/weights``, with digests and a model card. Run where ``dvc repro`` has ended;
of a part of the stages (``dvc repro predict``), what those made is published. Where the weights are published ones
themselves, they stay as they are and the card gains a test set.
"""

import hashlib
import json
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import click
import networkx
import pandas as pd
import psutil
import torch
from dvc.exceptions import DvcException
from dvc.repo import Repo

from faig.base.errors import InputError
from faig.base.files import complete_folder, replacing
from faig.data.dead_leaves import PREFIX
from faig.networks.models import NetworkSpec
from faig.networks.pretrained import SUMS, published_digests
from faig.networks.weights import load_network
from stages.shared.timings import COLUMNS, read_timings
from tools.tables import Json, read_json, read_results, read_yaml

WEIGHTS = ("baseline", "blind")
SHARE = 0.1
"""The share of each ranking's filters that is published."""
MOST = 8 * 2**20
"""Bytes of a published weights file."""
PACKAGES = ("torch", "numpy", "opencv-python-headless", "opencv-python", "dvc", "pandas", "pyarrow")


def run(*words: str) -> str:
    """What a command prints."""
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def describe(terms: str) -> Json:
    """Commit, machine, versions, and the numbers of images."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = version(name)
        except ModuleNotFoundError:
            continue
    names = {split: [path.stem for path in Path("data/hr", split).glob("*.png")] for split in ("train", "test")}
    made = [name for name in names["train"] if name.startswith(PREFIX)]
    return {
        "commit": run("git", "rev-parse", "HEAD"),
        "uncommitted": run("git", "status", "--porcelain", "--", "faig", "stages", "dvc.yaml").splitlines(),
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": installed,
        "computed_with": {
            key: pd.read_parquet(f"data/curves/{name}.parquet").attrs
            for key, name in (("train_baseline", "baseline"), ("finetune", "blind"))
        },
        "images": {
            "photographs to train on": len(names["train"]) - len(made),
            "dead-leaves images to train on": len(made),
            "test images": len(names["test"]),
        },
        "terms": terms,
    }


def current_stages() -> dict[str, list[Path]]:
    """Outputs, by stage, of what is up to date and needs nothing that is not: of these params, photographs and code."""
    with Repo() as repo:
        changed = set(repo.status())
        graph = repo.index.graph  # from each stage to those that it depends on
        return {
            stage.addressing: [Path(out.def_path) for out in stage.outs]
            for stage in graph
            if changed.isdisjoint(each.addressing for each in (stage, *networkx.descendants(graph, stage)))
        }


def copy_results(folder: Path, stages: dict[str, list[Path]], terms: str) -> None:
    """Fill a folder with all but the weights.

    Raises:
        ValueError: the folder has files that it would lose, of a stage that is no longer up to date.
    """
    outputs = sorted(path for paths in stages.values() for path in paths)
    with complete_folder(folder) as partial:
        shutil.copy("params.yaml", partial)
        for path in (path for path in outputs if path.parts[0] in ("metrics", "plots")):
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if path.is_dir() else shutil.copy)(path, partial / path)
        (partial / "scores").mkdir()
        for path in (path for path in outputs if path.parent == Path("data/scores")):
            table = pd.read_parquet(path)
            most = SHARE * table.groupby(["layer", "out_channel", "in_channel"], observed=True).ngroups
            table[table["rank"] < most].to_parquet(partial / "scores" / path.name, index=False)
        timings = [row for row in read_timings() if row["stage"] in stages]
        pd.DataFrame(timings, columns=COLUMNS[:-1]).to_csv(partial / "timings.csv", index=False)
        write_json(partial / "run.json", describe(terms))
        if lost := files(folder) - files(partial):
            names = ", ".join(map(str, sorted(lost)))
            raise ValueError(f"{folder} would lose {names}: run `dvc repro` first, or delete that folder")


def files(folder: Path) -> set[Path]:
    """All files under a folder, relative to it."""
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def read_weights(stages: dict[str, list[Path]]) -> dict[str, bytes]:
    """The run's weights files by name."""
    found = {}
    for name in WEIGHTS:
        path = Path(f"data/networks/{name}.safetensors")
        if not any(path in paths for paths in stages.values()):
            raise ValueError(f"{path} is missing or out of date: run `dvc repro` first")
        found[name] = data = path.read_bytes()
        if len(data) > MOST:
            raise ValueError(f"{name}.safetensors has {len(data)} bytes, more than {MOST}: too many for a repository")
    return found


def require_right(found: dict[str, bytes], results: Path, weights: Path, test: str) -> bool:
    """Whether the run trained the weights that are to be published; else it must have taken those that are.

    Raises:
        ValueError: another run has trained those of this name, or the run used others.
    """
    others = [folder for folder in folders(results) if folder.name != test]
    trained = [folder for folder in others if has_trained(folder)]
    digests = {f"{name}.safetensors": hashlib.sha256(data).hexdigest() for name, data in found.items()}
    if read_yaml(Path("params.yaml"))["network"]["pretrained"] in (None, "published/none"):
        if trained:
            raise ValueError(f"{trained[0]} is of the run that trained {weights}: choose another name")
        if others and published_digests(weights) != digests:
            raise ValueError(f"{others[0]} is of the weights in {weights}, which would be replaced: delete it first")
        return True
    if published_digests(weights) != digests:
        raise ValueError(f"the weights in data/networks are not those in {weights}")
    if not trained:
        raise ValueError(f"{results} lacks the run that trained the weights")
    return False


def folders(results: Path) -> list[Path]:
    """The folders of a network's published runs, one for each test set."""
    return sorted(folder for folder in results.iterdir() if folder.is_dir()) if results.is_dir() else []


def has_trained(folder: Path) -> bool:
    """Whether a published run trained its weights."""
    return read_yaml(folder / "params.yaml")["network"]["pretrained"] in (None, "published/none")


def write_weights(found: dict[str, bytes], folder: Path) -> None:
    """Put the weights and their list into a folder."""
    for name, data in found.items():
        with replacing(folder / f"{name}.safetensors") as partial:
            partial.write_bytes(data)
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}.safetensors\n" for name, data in found.items()]
    with replacing(folder / SUMS) as partial:
        partial.write_text("".join(lines), encoding="utf-8")


def card(network: str, results: Path, weights: Path) -> str:
    """The model card, from what is published of each test set."""
    spec = load_network(weights / "blind.safetensors")[1]
    if not isinstance(spec, NetworkSpec):
        raise InputError(f"{weights} holds {spec}: only networks that were trained here are published")
    runs = {folder.name: folder for folder in folders(results)}
    trained = next(folder for folder in runs.values() if has_trained(folder))
    params, about = read_yaml(trained / "params.yaml"), read_json(trained / "run.json")
    images = ", ".join(f"{number} {kind}" for kind, number in about["images"].items() if number)
    rows = []
    for name, folder in runs.items():
        for degradation, values in read_results(folder)["finetune"]["blind"].items():
            cells = (f"{values[key]:.2f}" for key in ("psnr_baseline", "psnr_target"))
            rows.append(f"| {name} | {degradation} | {' | '.join(cells)} | {values['gain']:+.2f} |")
    settings = [
        f"| {key}: {name} | {params[key][name]} |"
        for key in ("train_baseline", "finetune")
        for name in ("iterations", "batch_size", "patch_size", "learning_rate", "ema_decay")
    ]
    mixture = ", ".join(f"{name} {weight:g}" for name, weight in params["targets"]["blind"]["mixture"].items())
    name = f"{spec.params.name} of width {spec.params.width} and depth {spec.params.depth}, x{spec.scale}"
    sums = (weights / SUMS).read_text(encoding="utf-8")
    return f"""# {network}

Two networks for blind super-resolution, {name}: `baseline.safetensors` upscales and removes no degradation,
`blind.safetensors` is the baseline fine-tuned on degraded inputs. RGB in [0, 1], (N, 3, H, W) to
(N, 3, {spec.scale}H, {spec.scale}W). Meant for research on which filters remove which degradation; not for judging
people, medicine, or evidence: what they restore is a guess.

{about["terms"]} {images}; {params["downsampling"]} downsampling.

| setting | value |
| --- | --- |
{chr(10).join(settings)}
| mixture of the blind target | {mixture} |

PSNR in dB over RGB:

| test set | inputs | baseline | blind | gain |
| --- | --- | --- | --- | --- |
{chr(10).join(rows)}

All settings and results: `published/{network}/runs`. Commit {about["commit"][:10]}. To use them in the pipeline:
`network.pretrained: published/{network}/weights` in params.yaml; in Python: `faig.networks.models.load_network(path)`.

```
{sums}```
"""


def write_json(path: Path, values: Json) -> None:
    """Write a mapping."""
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


@click.command()
@click.argument("network")
@click.option("--test", required=True, help="name of the test photographs")
@click.option("--terms", required=True, help="what the photographs trained on are, and what may be done with them")
@click.option("--to", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path), help="the repository")
def main(network: str, test: str, terms: str, to: Path) -> None:
    """Publish the run in the current folder as NETWORK's."""
    try:
        results, weights = (to / "published" / network / part for part in ("runs", "weights"))
        stages = current_stages()
        found = read_weights(stages)
        is_trained = require_right(found, results, weights, test)
        copy_results(results / test, stages, terms)
        if is_trained:
            write_weights(found, weights)
        with replacing(weights / "README.md") as partial:
            partial.write_text(card(network, results, weights), encoding="utf-8")
    except (OSError, ValueError, KeyError, DvcException, subprocess.CalledProcessError) as error:
        raise click.ClickException(f"cannot publish this run: {error}") from error


if __name__ == "__main__":
    main()
