"""Write a preset into params.yaml: ``python -m presets.apply smoke`` or ``make preset NAME=smoke``.

A preset is a YAML file in this folder with the values that differ from the default ones; ``default.yaml`` holds the
default of every value that some preset changes. Applying one first puts those defaults back, so that no preset leaves
traces in the next; values that no preset touches stay as they are. Only the text of changed values is replaced:
comments, order and all other lines of params.yaml keep their bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node

from faig.files import replacing

FOLDER = Path(__file__).parent
DEFAULT = "default"


@dataclass(frozen=True)
class Edit:
    """One value to replace: its dotted key, where it stands in the text (characters start to end), old and new text."""

    key: str
    start: int
    end: int
    old: str
    new: str


def preset_names() -> list[str]:
    """Names of all presets, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def apply_preset(name: str, params: str) -> str:
    """The text of params.yaml with the values of preset ``name``.

    Raises:
        ValueError: the preset or ``params`` is not YAML, or the preset has a key that params.yaml lacks, or an indented
            list or block would be replaced or written.
    """
    for preset in dict.fromkeys([DEFAULT, name]):
        path = FOLDER / f"{preset}.yaml"
        params = overlay(params, path.read_text(encoding="utf-8"), source=f"presets/{path.name}")
    return params


def overlay(params: str, changes: str, *, source: str) -> str:
    """The YAML text ``params`` with the values of the YAML text ``changes``; ``source`` names the latter in errors.

    Raises:
        ValueError: as :func:`apply_preset`.
    """
    for edit in reversed(find_edits(params, changes, source=source)):
        params = params[: edit.start] + edit.new + params[edit.end :]
    return params


def find_edits(params: str, changes: str, *, source: str) -> list[Edit]:
    """The values of ``changes`` that are written otherwise in ``params``, in the order of ``params``.

    Raises:
        ValueError: as :func:`apply_preset`.
    """

    def compare(old: Node, new: Node, key: str) -> Iterator[Edit]:
        if isinstance(old, MappingNode) and isinstance(new, MappingNode):
            known = {name.value: value for name, value in old.value}
            for name, value in new.value:
                inner = f"{key}.{name.value}" if key else name.value
                if name.value not in known:
                    raise ValueError(f"{source}: {inner} is not a key of params.yaml")
                yield from compare(known[name.value], value, inner)
            return
        edit = Edit(key, *_span(old), _text(params, old), _text(changes, new))
        if edit.old == edit.new:
            return
        for node, where in ((old, "params.yaml"), (new, source)):
            if isinstance(node, CollectionNode) and not node.flow_style:
                raise ValueError(f"{where}: {key} must be written as [...] or {{...}} for a preset to replace it")
        yield edit

    edits = compare(_compose(params, "params.yaml"), _compose(changes, source), "")
    return sorted(edits, key=lambda edit: edit.start)


def _compose(text: str, source: str) -> MappingNode:
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except YAMLError as error:
        raise ValueError(f"{source} is not valid YAML: {error}") from error
    if not isinstance(node, MappingNode):
        raise ValueError(f"{source} must hold a mapping of keys to values")
    return node


def _span(node: Node) -> tuple[int, int]:
    return node.start_mark.index, node.end_mark.index


def _text(text: str, node: Node) -> str:
    start, end = _span(node)
    return text[start:end]


@click.command()
@click.argument("name", type=click.Choice(preset_names()))
def main(name: str) -> None:
    """Write preset NAME into params.yaml of the current folder."""
    path = Path("params.yaml")
    try:
        old = path.read_bytes().decode()
        new = apply_preset(name, old)
        edits = find_edits(old, new, source="params.yaml")
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    with replacing(path.resolve()) as partial:
        partial.write_bytes(new.encode())
    for edit in edits:
        click.echo(f"{edit.key}: {edit.old} -> {edit.new}")
    click.echo(f"params.yaml holds preset {name}: {len(edits)} values changed")


if __name__ == "__main__":
    main()
