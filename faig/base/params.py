"""params.yaml -> checked, frozen settings.

Each section's dataclass lives beside the code that it configures and is declared with :func:`settings`, so that an
unknown key, a missing key, a wrong type or a value out of range is an error that names the key and the value.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform, overload

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from faig.base.errors import InputError

T = TypeVar("T")

PARAMS_FILE = Path("params.yaml")
UNTRACKED = "compute"
"""The section that says how to compute, not what: no stage depends on it."""
_READ: ContextVar[dict[tuple[str, Path], Any] | None] = ContextVar("_READ", default=None)
"""Values loaded so far, by key and file, inside :func:`unchanged_params`; None outside of it."""

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""A random seed, as NumPy takes it: 32 bits."""
Count = Annotated[int, Field(ge=1, le=10**9)]
"""How many of something: at least 1."""
Ratio = Annotated[float, Field(gt=0, le=1)]
"""A share that may not be empty: above 0, up to 1."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Scale = Annotated[int, Field(ge=1, le=4)]
"""Upscaling factor: 2, 3 or 4; or 1: LR is as large as HR, and networks restore without upscaling."""


def require_unique(names: Sequence[T]) -> Sequence[T]:
    """Return ``names``, unless one of them is listed twice.

    Raises:
        ValueError: one is; pydantic turns it into a misfit of the key.
    """
    if twice := [name for name in dict.fromkeys(names) if list(names).count(name) > 1]:
        raise ValueError(f"{twice[0]} is listed twice")
    return names


Unique = AfterValidator(require_unique)
"""Marks a list that may not name an item twice."""


def refuse_ends(name: str) -> str:
    """Raise ValueError if a name ends as the ends of intervals do in the tables of numbers."""
    if name.endswith(("_low", "_high")):
        raise ValueError(f"{name} ends in _low or _high, which is how the ends of intervals are called: choose another")
    return name


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$"), AfterValidator(refuse_ends)]
"""A name that is also part of a file name: letters, digits, ``_`` and ``-``; not ending in ``_low`` or ``_high``."""


class ParamsError(InputError):
    """Settings that cannot be used. The message names the key, the value and what is allowed."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
def settings(cls: type[T]) -> type[T]:
    """Class decorator: a frozen, keyword-only dataclass that refuses unknown keys and values out of range."""
    return dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))(cls)  # pyright: ignore


def read_params(path: Path = PARAMS_FILE) -> dict[str, Any]:
    """Read a YAML 1.2 file (as DVC does: ``1e-4`` is a number) into plain dicts, lists and scalars.

    Raises:
        ParamsError: the file is missing, is not YAML (tags that would build objects included) or is not a mapping.
    """
    if not path.is_file():
        raise ParamsError(f"{path} does not exist: run from the project's folder")
    try:
        params = deepcopy(_parse(path.read_text(encoding="utf-8")))
    except (YAMLError, UnicodeDecodeError, RecursionError, TypeError) as error:  # TypeError: a list as a key
        raise ParamsError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(params, dict):
        raise ParamsError(f"{path} must hold a mapping of keys to values, not a {type(params).__name__}")
    if odd := list(_odd_keys(params)):
        raise ParamsError(f"{path}: the key {odd[0]!r} must be text: put it in quotes, or choose a name")
    return params


@lru_cache(maxsize=1)  # a stage reads several of its file's sections, one after the other
def _parse(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def _odd_keys(value: object) -> Iterator[object]:
    """Yield the keys that are not text, at any depth."""
    if isinstance(value, dict):
        yield from (key for key in value if not isinstance(key, str))
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _odd_keys(part)


@overload
def load_params(key: str, kind: type[T], path: Path = PARAMS_FILE) -> T: ...
@overload
def load_params(key: str, kind: Any, path: Path = PARAMS_FILE) -> Any: ...
def load_params(key: str, kind: Any, path: Path = PARAMS_FILE) -> Any:
    """Read the settings under one dotted ``key`` of params.yaml as an object of ``kind``.

    ``kind`` is a class made by :func:`settings` or any annotation that pydantic understands, ``dict[str, float]`` say.

    Raises:
        ParamsError: the key is missing, or its value does not fit; the message lists every misfit.
    """
    value: Any = _value(key, path)
    if (read := _READ.get()) is not None and key.split(".")[0] != UNTRACKED:
        read[key, path] = value
    return validate(key, value, kind, source=str(path))


@contextmanager
def unchanged_params() -> Iterator[None]:
    """Check at the end that no value loaded inside the block has changed in its file since.

    DVC records the values of params.yaml when a stage has ended, so they must still be those that the stage used.

    Raises:
        ParamsError: a value has changed; the section ``compute`` may, as no result depends on it.
    """
    read: dict[tuple[str, Path], Any] = {}
    token = _READ.set(read)
    try:
        yield
        for (key, path), value in read.items():
            if not _same(_value(key, path), value):
                raise ParamsError(f"{path}: {key} was changed while the stage ran: run again")
    finally:
        _READ.reset(token)


def _same(first: object, second: object) -> bool:
    return json.dumps(first, sort_keys=True, default=str) == json.dumps(second, sort_keys=True, default=str)


def _value(key: str, path: Path) -> Any:
    value: Any = read_params(path)
    for depth, part in enumerate(parts := key.split(".")):
        if not isinstance(value, dict) or part not in value:
            raise ParamsError(f"{path}: {'.'.join(parts[: depth + 1])} is missing")
        value = value[part]
    return value


def validate(key: str, value: object, kind: type[T], *, source: str) -> T:
    """Turn ``value``, plain data of YAML or JSON, into an object of ``kind``.

    ``key`` and ``source`` (a file) say in messages where the value stands.

    Raises:
        ParamsError: the value does not fit; the message lists every misfit.
    """
    try:
        # Strict: no `true` for 1, no "0.5" for 0.5. As JSON, because in Python strict also means no list for a tuple.
        return TypeAdapter(kind).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        misfits = [_describe(key, misfit).removeprefix(f"{source}: ") for misfit in error.errors(include_url=False)]
        raise ParamsError("\n".join(f"{source}: {misfit}" for misfit in misfits)) from error


def _describe(key: str, misfit: Any) -> str:
    where = ".".join(str(part) for part in [key, *misfit["loc"]] if part not in ("", "[key]"))
    match misfit["type"]:
        case "missing":
            return f"{where} is missing"
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"{where} is not a known key"
        case "value_error":  # raised by the settings themselves, whose message names the key and the value
            return ": ".join(filter(None, [where, str(misfit["ctx"]["error"])]))
        case _:
            return f"{where} = {misfit['input']!r}: {misfit['msg']}"
