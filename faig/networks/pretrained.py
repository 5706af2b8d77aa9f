"""Weights that are not trained here: a folder of published ones, or the user's own files in a folder.

Published weights are safetensors files of this project, each of which SHA256SUMS lists with its digest, in the form of
the program ``sha256sum``. A folder that holds nothing but a README.md, as published/none does, publishes nothing: every
network is then trained. With ``network.files`` the folder is the user's own, and holds any checkpoints.
"""

import hashlib
import re
from pathlib import Path

from torch import nn

from faig.base.errors import InputError
from faig.networks.foreign import require_same
from faig.networks.weights import NetworkChoice, Spec, adopt, load_network, make_network

SUMS = "SHA256SUMS"
SUFFIX = ".safetensors"


def given_network(choice: NetworkChoice, name: str, scale: int) -> tuple[nn.Module, Spec, Path] | None:
    """The baseline or a target, if it is not trained here: the network, what rebuilds it, and the file of its weights.

    None where neither the published folder nor ``network.files`` has it.

    Raises:
        InputError: the file is missing, changed or unusable, or of another network than params.yaml asks for.
    """
    if choice.files:
        if name not in choice.files:
            return None
        path = choice.pretrained / choice.files[name]
        return *adopt(path, choice, scale), path
    if not choice.is_built_in or (path := find_weights(choice.pretrained, name)) is None:
        return None
    network, found = load_network(path)
    if found != choice.spec(scale):
        raise InputError(f"{path} is {found}, but params.yaml asks for {choice.spec(scale)}")
    return network, found, path


def verify_given(choice: NetworkChoice, names: list[str], scale: int) -> None:
    """Check all weights that are not trained here, of the baseline and the targets ``names``, and the factory.

    Raises:
        InputError: as :func:`given_network`; the files are of two architectures; ``network.files`` names a network that
            is no target; or a factory's network is to be trained and cannot be made.
    """
    if unknown := sorted(set(choice.files) - {"baseline", *names}):
        raise InputError(f"network.files names {unknown[0]}, which is not one of baseline, {', '.join(names)}")
    if not choice.files and choice.is_built_in:
        for name in published_digests(choice.pretrained):
            find_weights(choice.pretrained, name.removesuffix(SUFFIX))
        return
    if not choice.files:
        make_network(choice, scale, seed=0)
        return
    found = {name: given_network(choice, name, scale) for name in ("baseline", *names)}
    networks = {name: given for name, given in found.items() if given is not None}
    baseline, first, _ = networks["baseline"]
    for name, (network, spec, path) in networks.items():
        if spec != first:
            raise InputError(f"network.files: baseline is {first}, but {name} is {spec}")
        require_same(network.state_dict(), baseline.state_dict(), where=str(path), what="the baseline's network")


def published_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each weights file of a folder by the file's name, as its list has them; empty for an empty folder.

    Raises:
        InputError: the folder does not exist, holds files but no list, or a line of the list cannot be read, or it
            lacks the baseline.
    """
    if not folder.is_dir():
        raise InputError(f"network.pretrained: the folder {folder} does not exist")
    if {path.name for path in folder.iterdir()} <= {"README.md"}:
        return {}
    path = folder / SUMS
    if not path.is_file():
        raise InputError(f"network.pretrained: {path} does not exist; published weights come with it")
    digests = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        match = re.fullmatch(r"([0-9a-f]{64}) [ *]([A-Za-z0-9][A-Za-z0-9_-]*\.safetensors)", line)
        if match is None:
            raise InputError(f"{path}, line {number} is not a SHA-256 and the name of a weights file: {line[:100]!r}")
        digests[match[2]] = match[1]
    if f"baseline{SUFFIX}" not in digests:
        raise InputError(f"{path} lists no baseline{SUFFIX}, which all targets start from")
    return digests


def find_weights(folder: Path, name: str) -> Path | None:
    """The verified weights file of the network ``name``; None where the folder does not publish that network.

    Raises:
        InputError: as :func:`published_digests`; or the file is missing or is not the one that was published.
    """
    if (digest := published_digests(folder).get(f"{name}{SUFFIX}")) is None:
        return None
    path = folder / f"{name}{SUFFIX}"
    if not path.is_file():
        raise InputError(f"{path} is missing, but {folder / SUMS} lists it")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise InputError(f"{path} is not the file that was published: SHA-256 {found}, expected {digest}")
    return path
