"""Write a preset into params.yaml: ``python -m presets.apply smoke`` or ``make preset NAME=smoke``.

A preset is a YAML file in this folder with the values that differ from the default ones; ``default.yaml`` holds the
default of every value that some preset changes. What a preset has and ``default.yaml`` lacks (another degradation, say)
is added. Applying a preset first puts those defaults back and takes such additions out, so that no preset leaves traces
in the next; values that no preset touches stay as they are. Only the text of changed values is replaced:
comments, order and all other lines of params.yaml keep their bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node

from faig.base.files import replacing

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
        ValueError: the preset or ``params`` is not YAML, or a preset would replace a value by a block in lines of its
            own, or add one that is indented otherwise.
    """
    texts = {preset: (FOLDER / f"{preset}.yaml").read_text(encoding="utf-8") for preset in preset_names()}
    for preset, text in texts.items():
        params = _edited(params, [*find_removals(params, texts[DEFAULT], text, source=f"presets/{preset}.yaml")])
    for preset in dict.fromkeys([DEFAULT, name]):
        params = overlay(params, texts[preset], source=f"presets/{preset}.yaml")
    return params


def overlay(params: str, changes: str, *, source: str) -> str:
    """The YAML text ``params`` with the values of the YAML text ``changes``; ``source`` names the latter in errors.

    Raises:
        ValueError: as :func:`apply_preset`.
    """
    return _edited(params, find_edits(params, changes, source=source))


def find_edits(params: str, changes: str, *, source: str) -> list[Edit]:
    """The values of ``changes`` that are written otherwise in ``params`` or missing there, in the order of ``params``.

    What is missing goes in front of its mapping's first entry, or behind the last one of a mapping in braces.

    Raises:
        ValueError: as :func:`apply_preset`.
    """

    def compare(old: Node, new: Node, key: str, start: int) -> Iterator[Edit]:
        """``start``: where the text between an entry's key and its value begins."""
        if isinstance(old, MappingNode) and isinstance(new, MappingNode):
            known = _entries(old)
            for name, value in new.value:
                inner = f"{key}.{name.value}" if key else name.value
                if name.value in known:
                    yield from compare(known[name.value][1], value, inner, known[name.value][0].end_mark.index)
                elif key:
                    yield add(old, new, name, value, inner)
                else:
                    raise ValueError(f"{source}: {inner} is not a key of params.yaml")
            return
        if _is_block(old) and _is_block(new) and _block(params, old) == _block(changes, new):
            return
        if _is_block(new):
            raise ValueError(f"{source}: {key} must be written as [...] or {{...}} to replace a value")
        if _is_block(old):  # as DVC writes lists into params.yaml
            yield Edit(key, start, end := _last(old).end_mark.index, params[start:end], f": {_text(changes, new)}")
        elif not _text(params, old):  # as DVC writes null
            yield Edit(key, start, start + 1, ":", f": {_text(changes, new)}")
        elif _text(params, old) != _text(changes, new):
            yield Edit(key, *_span(old), _text(params, old), _text(changes, new))

    def add(old: MappingNode, new: MappingNode, name: Node, value: Node, key: str) -> Edit:
        if not _is_block(old):
            if _is_block(value):
                raise ValueError(f"{source}: {key} must be written as [...] or {{...}} to be added")
            place = old.value[-1][1].end_mark.index if old.value else old.start_mark.index + 1
            return Edit(key, place, place, "", f"{', ' * bool(old.value)}{name.value}: {_text(changes, value)}")
        place = params.rfind("\n", 0, old.start_mark.index) + 1
        if not _is_block(new):
            return Edit(key, place, place, "", f"{' ' * old.start_mark.column}{name.value}: {_text(changes, value)}\n")
        if name.start_mark.column != old.start_mark.column:
            raise ValueError(f"{source}: {key} must be indented as in params.yaml to be added")
        return Edit(key, place, place, "", changes[slice(*_lines(changes, name, value))])

    edits = compare(_compose(params, "params.yaml"), _compose(changes, source), "", 0)
    return sorted(edits, key=lambda edit: edit.start)


def find_removals(params: str, default: str, changes: str, *, source: str) -> Iterator[Edit]:
    """Edits that remove from ``params`` the keys of ``changes`` that ``default`` lacks, in the order of ``params``.

    Raises:
        ValueError: a text is not YAML.
    """

    def find(old: Node, known: Node, new: Node, key: str) -> Iterator[Edit]:
        if not all(isinstance(node, MappingNode) for node in (old, known, new)):
            return
        present, defaults, wanted = (_entries(node) for node in (old, known, new))  # pyright: ignore
        end = None  # of the entry before
        for name, (node, value) in present.items():
            inner = f"{key}.{name}" if key else name
            if name in wanted and name in defaults:
                yield from find(value, defaults[name][1], wanted[name][1], inner)
            elif name in wanted and key and _is_block(old):
                first, last = _lines(params, node, value)
                yield Edit(inner, first, last, params[first:last], "")
            elif name in wanted and key and end is not None:
                yield Edit(inner, end, value.end_mark.index, params[end : value.end_mark.index], "")
            end = value.end_mark.index

    yield from find(_compose(params, "params.yaml"), _compose(default, source), _compose(changes, source), "")


def _edited(text: str, edits: list[Edit]) -> str:
    for edit in reversed(edits):
        text = text[: edit.start] + edit.new + text[edit.end :]
    return text


def _entries(node: MappingNode) -> dict[str, tuple[Node, Node]]:
    """Nodes of key and value by key."""
    return {name.value: (name, value) for name, value in node.value}


def _is_block(node: Node) -> bool:
    """Whether a node is a mapping or list in lines of its own, not in brackets."""
    return isinstance(node, CollectionNode) and not node.flow_style


def _last(node: Node) -> Node:
    """The last node within a block: what the block's text ends with, comments apart."""
    while _is_block(node) and node.value:
        node = node.value[-1][1] if isinstance(node, MappingNode) else node.value[-1]
    return node


def _block(text: str, node: Node) -> str:
    """The text of a block, comments behind it apart."""
    return text[node.start_mark.index : _last(node).end_mark.index]


def _lines(text: str, name: Node, value: Node) -> tuple[int, int]:
    """Where the whole lines of an entry of a block mapping start and end."""
    end = text.find("\n", _last(value).end_mark.index)
    return text.rfind("\n", 0, name.start_mark.index) + 1, len(text) if end < 0 else end + 1


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
        removed = [edit for edit in find_edits(new, old, source="params.yaml") if not edit.old]
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    with replacing(path.resolve()) as partial:
        partial.write_bytes(new.encode())
    for edit in edits:
        click.echo(f"{edit.key}: {edit.old} -> {edit.new}" if edit.old else f"{edit.key}: added")
    for edit in removed:
        click.echo(f"{edit.key}: removed")
    click.echo(f"params.yaml holds preset {name}: {len(edits) + len(removed)} values changed")


if __name__ == "__main__":
    main()
