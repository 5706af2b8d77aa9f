"""Write a preset into params.yaml: ``python -m tools.preset smoke`` or ``make preset NAME=smoke``.

A preset, ``presets/NAME.yaml``, holds the values that differ from params.yaml as committed; with ``extends: OTHER`` at
its top, those that differ from another preset. Its values are merged into params.yaml as it stands: all others, and all
comments, stay. ``git restore params.yaml`` goes back.
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
    """The values of a preset, those of the presets that it extends included.

    Raises:
        InputError: there is no such preset, or it is not YAML.
    """
    if name not in preset_names():
        raise InputError(f"there is no preset {name}; known are {', '.join(preset_names())}")
    values = load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), f"presets/{name}.yaml")
    if EXTENDS not in values:
        return values
    whole = read_preset(values.pop(EXTENDS))
    list(merge(whole, values))
    return whole


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
            yield from merge(params[key], value, f"{prefix}{key}.")
        elif params[key] != value:
            yield f"{prefix}{key}: {params[key]} -> {value}"
            if isinstance(value, CommentedSeq) and isinstance(params[key], CommentedSeq):
                params[key][:] = value  # in place, which keeps the comment behind it and whether it stands in brackets
            else:
                params[key] = value


def apply_preset(name: str, text: str) -> tuple[str, list[str]]:
    """The text of params.yaml with the values of a preset, and a line per value that this changes."""
    params = load(text, "params.yaml")
    changed = list(merge(params, read_preset(name)))
    written = StringIO()
    round_trip().dump(params, written)
    return written.getvalue(), changed


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
