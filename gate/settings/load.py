"""Reads the settings: a YAML file, then overrides from the environment.

Every error is one line that says where (file and line, or environment variable), which key,
what is wrong and what to do. All errors of a file are reported together.

YAML is read as YAML 1.2 core has it: only true and false are booleans (`off` is a word), a
number is decimal, and a key that stands twice is an error.

An environment variable `GATE_POLICY__IP_HOSTS=allow` sets `policy.ip_hosts`; a value that
begins with `[` or `{`, and `null`, are read as YAML.
"""

from __future__ import annotations

import copy
import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gate.settings.describe import Key, model_at, path_text
from gate.settings.model import Settings
from gate.settings.routes_file import BadRoute, read_routes

PREFIX = "GATE_"
CONFIG_VARIABLE = "GATE_CONFIG"  # names the file itself; not a key
# No keys either: where the commands find the registry and the running gate.
CLIENT_VARIABLES = frozenset(
    {
        "GATE_REGISTRY_URL",
        "GATE_REGISTRY_PROFILE",
        "GATE_REGISTRY_TOKEN",
        "GATE_REGISTRY_DB",
        "GATE_ADMIN_URL",
        "GATE_ADMIN_TOKEN",
    }
)


@dataclass(slots=True, frozen=True)
class Problem:
    """One thing wrong with the settings."""

    where: str
    """`FILE:LINE`, `FILE` or `environment VARIABLE`."""
    key: str
    """Dotted path of the key, "" when no single key is at fault."""
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.text) if part)


class ConfigError(Exception):
    """The settings cannot be used; `problems` has a line for each reason."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class _Yaml(yaml.SafeLoader):
    """SafeLoader with the scalars of the YAML 1.2 core schema that a configuration needs."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's own way to say it


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Yaml.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(rf"^(?:{_pattern})$"),
        [char if char != "\0" else "" for char in _first],
    )


@dataclass(slots=True)
class _Source:
    """What was read, and where each key of it stands."""

    data: dict[str, Any] = field(default_factory=dict)
    places: dict[tuple[Key, ...], str] = field(default_factory=dict)
    name: str = "settings"

    def place(self, path: tuple[Key, ...]) -> str:
        """Return the place of `path`, or of the nearest key above it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return self.name


def load(
    path: Path | None,
    environ: Mapping[str, str] | None = None,
    base: dict[str, Any] | None = None,
    *,
    routes: bool = True,
) -> Settings:
    """Return the settings of the file at `path` and of the environment.

    Without a file, `base` (shaped as the file would be) and the defaults count.
    Without `routes` the file of routes is not looked at: it may be long.
    Raises ConfigError for a missing or unreadable file, a YAML error, an unknown key or a
    value that its key does not take.
    """
    source = _read(path) if path is not None else _Source(copy.deepcopy(base or {}))
    problems = list(_override(source, os.environ if environ is None else environ))
    if problems:
        raise ConfigError(*problems)
    try:
        settings = Settings.model_validate(source.data)
    except ValidationError as error:
        raise ConfigError(*(_problem(source, detail) for detail in error.errors())) from None
    file = settings.upstreams.routes_file
    if routes and file is not None:
        _check_routes(file, source)
    return settings


def _check_routes(path: Path, source: _Source) -> None:
    """Raise ConfigError for a file of routes that cannot be used."""
    key = "upstreams.routes_file"
    try:
        read_routes(path)
    except BadRoute as error:
        place = f"{error.file or path}:{error.line}"
        raise ConfigError(Problem(place, key, error.text)) from None
    except OSError as error:
        where = source.place(("upstreams", "routes_file"))
        why = f"{error.filename or path} cannot be read: {error.strerror}"
        raise ConfigError(Problem(where, key, why)) from None


def _read(path: Path) -> _Source:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            Problem(str(path), "", "no such file; give --config FILE or set GATE_CONFIG")
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            Problem(str(path), "", f"not UTF-8 at byte {error.start}; save the file as UTF-8")
        ) from None
    except OSError as error:
        raise ConfigError(
            Problem(str(path), "", f"cannot be read: {error.strerror}; check path and rights")
        ) from None
    source = _Source(name=str(path))
    loader = _Yaml(text)
    try:
        node = loader.get_single_node()
        if node is None:  # empty, or comments only
            return source
        _places(node, (), source)
        data = loader.construct_document(node) or {}
    except yaml.YAMLError as error:
        raise ConfigError(_yaml_problem(path, error)) from None
    finally:
        loader.dispose()
    if not isinstance(data, dict):
        raise ConfigError(Problem(f"{path}:1", "", "not a mapping; write lines such as `key: 1`"))
    source.data = data
    return source


def _yaml_problem(path: Path, error: yaml.YAMLError) -> Problem:
    if not isinstance(error, yaml.MarkedYAMLError):
        return Problem(str(path), "", f"not YAML: {' '.join(str(error).split())}")
    mark = error.problem_mark or error.context_mark
    where = f"{path}:{mark.line + 1}" if mark else str(path)
    what = " ".join(filter(None, (error.context, error.problem)))
    return Problem(where, "", f"not YAML: {what}; check indentation, colons and quotes")


def _places(node: yaml.Node, path: tuple[Key, ...], source: _Source) -> None:
    """Note where each key below `node` stands; raises ConfigError for a key that stands twice."""
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            below = (*path, str(key_node.value))
            where = f"{source.name}:{key_node.start_mark.line + 1}"
            if below in source.places:
                first = source.places[below].rpartition(":")[2]
                raise ConfigError(
                    Problem(where, path_text(below), f"stands already in line {first}; keep one")
                )
            source.places[below] = where
            _places(value_node, below, source)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            source.places[(*path, index)] = f"{source.name}:{item.start_mark.line + 1}"
            _places(item, (*path, index), source)


def _override(source: _Source, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Put the environment's values over the file's."""
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if variable in CLIENT_VARIABLES:
            continue
        path = tuple(variable[len(PREFIX) :].lower().split("__"))
        where = f"environment {variable}"
        target = source.data
        for part in path[:-1]:
            below = target.get(part)
            if below is None:
                below = target[part] = {}
            if not isinstance(below, dict):
                yield Problem(where, path_text(path), f"{part} is not a section; set it as a whole")
                break
            target = below
        else:
            text = environ[variable]
            try:
                target[path[-1]] = (
                    yaml.load(text, _Yaml)  # noqa: S506 - a SafeLoader
                    if text.startswith(("[", "{", "- ")) or text == "null"
                    else text
                )
            except yaml.YAMLError as error:
                yield Problem(where, path_text(path), f"not YAML: {' '.join(str(error).split())}")
            source.places[path] = where


def _problem(source: _Source, detail: ErrorDetails) -> Problem:
    path = detail["loc"]
    return Problem(source.place(path), path_text(path), _text(path, detail))


def _text(path: tuple[Key, ...], detail: ErrorDetails) -> str:
    """Return what is wrong with the value at `path`, and what it may be."""
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    match kind:
        case "extra_forbidden":
            known = list(model_at(path[:-1]).model_fields)
            near = difflib.get_close_matches(str(path[-1]), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
            return f"unknown key; {hint}"
        case "missing":
            return "this key must be given"
        case "literal_error" | "enum":
            return f"must be {str(context['expected']).replace(chr(39), '')}, not {given!r}"
        case "value_error":
            return str(context["error"])
        case "greater_than_equal":
            return f"must be at least {context['ge']}, not {given!r}"
        case "greater_than":
            return f"must be more than {context['gt']}, not {given!r}"
        case "less_than_equal":
            return f"must be at most {context['le']}, not {given!r}"
        case "int_parsing" | "int_type" | "int_from_float":
            return f"must be a whole number, not {given!r}"
        case "float_parsing" | "float_type":
            return f"must be a number, not {given!r}"
        case "bool_parsing" | "bool_type":
            return f"must be true or false, not {given!r}"
        case "string_type" | "path_type":
            return f"must be a text (put it in quotes), not {given!r}"
        case "tuple_type":
            return f"must be a list (write [a, b] or lines that begin with -), not {given!r}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"must be a section with keys of its own, not {given!r}"
        case "string_pattern_mismatch":
            return f"{given!r} does not match {context['pattern']}"
        case _:
            return f"{detail['msg']}, not {given!r}"
