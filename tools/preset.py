"""Write a preset into params.yaml: ``python -m tools.preset smoke`` or ``make preset NAME=smoke``.

A preset, ``presets/NAME.yaml``, holds the values that differ from params.yaml as committed; with ``extends: OTHER`` at
its top, those that differ from another preset. Its values are merged into params.yaml as it stands: all others, and all
comments, stay. But of the mappings that ``only: [targets, targets.blind.mixture]`` lists, say, nothing stays that the
preset does not name. ``git restore params.yaml`` goes back.
"""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import click
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from faig.base.errors import InputError
from faig.base.files import replacing

FOLDER = Path(__file__).parents[1] / "presets"
EXTENDS = "extends"
"""The key of a preset that names the preset it builds on."""
ONLY = "only"
"""The key of a preset that lists mappings, as ``targets.blind.mixture``, of which only what it names itself stays."""


def preset_names() -> list[str]:
    """Names of all presets, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def round_trip() -> YAML:
    """A reader and writer of YAML that gives the bytes of params.yaml back, its comments included."""
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(
        type(None), lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml


def load(text: str, source: str) -> CommentedMap:
    """The mapping that a YAML text holds; ``source`` names the text in errors.

    Raises:
        InputError: the text is not YAML, or holds something else.
    """
    try:
        values = round_trip().load(text)
    except YAMLError as error:
        raise InputError(f"{source} is not valid YAML: {error}") from error
    if not isinstance(values, CommentedMap):
        raise InputError(f"{source} must hold a mapping of keys to values")
    return values


def read_preset(name: str) -> CommentedMap:
    """The values of a preset, those of the presets that it extends included; under :data:`ONLY` the lists of all.

    Raises:
        InputError: there is no such preset, or it is not YAML, or it lists a mapping in ``only`` that it has not.
    """
    if name not in preset_names():
        raise InputError(f"there is no preset {name}; known are {', '.join(preset_names())}")
    values = load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), f"presets/{name}.yaml")
    extended, only = values.pop(EXTENDS, None), values.pop(ONLY, [])
    for path in only:
        if not isinstance(find(values, path), CommentedMap):
            raise InputError(f"presets/{name}.yaml: only lists {path}, but the preset holds no such mapping")
    whole = CommentedMap() if extended is None else read_preset(extended)
    inherited = whole.pop(ONLY, [])
    list(merge(whole, values))
    for mapping, key, _ in others(whole, values, only):
        del mapping[key]
    if inherited or only:
        whole[ONLY] = list(dict.fromkeys([*inherited, *only]))
    return whole


def find(values: CommentedMap, path: str) -> object:
    """What stands at ``path``, keys with dots between them; None where nothing does."""
    found: object = values
    for key in path.split("."):
        found = found.get(key) if isinstance(found, CommentedMap) else None
    return found


def others(params: CommentedMap, named: CommentedMap, only: list[str]) -> list[tuple[CommentedMap, str, str]]:
    """What the mappings ``only`` of ``params`` hold that ``named`` does not: mapping, key and whole path."""
    pairs = [(path, find(params, path), find(named, path)) for path in only]
    return [
        (mapping, key, f"{path}.{key}")
        for path, mapping, kept in pairs
        if isinstance(mapping, CommentedMap) and isinstance(kept, CommentedMap)
        for key in mapping
        if key not in kept
    ]


def merge(params: CommentedMap, changes: CommentedMap, prefix: str = "") -> Iterator[str]:
    """Write ``changes`` into ``params``, mappings key by key at every depth; yields a line per changed value."""
    # The last entry of a mapping in lines of its own carries the comment before the next section: additions come first.
    place = len(params) if params.fa.flow_style() else 0
    for key, value in changes.items():
        if key not in params:
            yield f"{prefix}{key}: added"
            params.insert(place, key, value)
            place += 1
        elif isinstance(value, CommentedMap) and isinstance(params[key], CommentedMap):
            if not params[key]:  # {} can only be filled within its brackets
                params[key].fa.set_flow_style()
            yield from merge(params[key], value, f"{prefix}{key}.")
        elif params[key] != value:
            yield f"{prefix}{key}: {params[key]} -> {value}"
            if isinstance(value, CommentedSeq) and isinstance(params[key], CommentedSeq):
                params[key][:] = value  # in place, which keeps the comment behind it and whether it stands in brackets
            else:
                params[key] = value


def apply_preset(name: str, text: str) -> tuple[str, list[str]]:
    """The text of params.yaml with the values of a preset, and a line per value that this changes."""
    params, values = load(text, "params.yaml"), read_preset(name)
    only = values.pop(ONLY, [])
    changed = list(merge(params, values))
    params = load(dump(params), "params.yaml")  # with the lines that its keys now stand in
    gone: set[int] = set()
    for mapping, key, path in others(params, values, only):
        changed.append(f"{path}: removed")
        if mapping.fa.flow_style():
            del mapping[key]
        else:
            gone.update(range(*_lines(dump(params).splitlines(), *mapping.lc.key(key))))
    lines = dump(params).splitlines(keepends=True)
    return "".join(line for number, line in enumerate(lines) if number not in gone), changed


def dump(params: CommentedMap) -> str:
    """The text of a mapping."""
    written = StringIO()
    round_trip().dump(params, written)
    return written.getvalue()


def _lines(text: list[str], start: int, column: int) -> tuple[int, int]:
    """First line of a block mapping's entry, and the first one after it; a comment that stands as far left follows it.

    Lines of text, because ruamel.yaml has the comment in front of what follows as part of the entry's last value.
    """
    end = start + 1
    while end < len(text) and (text[end][: column + 1].isspace() or text[end].startswith(" " * column + "- ")):
        end += 1
    return start, end


@click.command()
@click.argument("name", type=click.Choice(preset_names()))
def main(name: str) -> None:
    """Write a preset's values into params.yaml of the current folder. ``git restore params.yaml`` goes back."""
    path = Path("params.yaml")
    try:
        text, changed = apply_preset(name, path.read_text(encoding="utf-8"))
        with replacing(path.resolve()) as partial:
            partial.write_text(text, encoding="utf-8")
    except (OSError, InputError) as error:
        raise click.ClickException(str(error)) from error
    for line in changed:
        click.echo(line)
    click.echo(f"params.yaml holds preset {name}: {len(changed)} values changed; `git restore params.yaml` goes back")


if __name__ == "__main__":
    main()
