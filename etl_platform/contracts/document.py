"""Configuration files (YAML, TOML) as checked objects: every mistake names file, field, found and expected.

Belongs here: what institution files and dataset declarations share. Not here: what either of them means.
"""

from __future__ import annotations

import difflib
import inspect
import re
import tomllib
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from etl_platform.errors import ConfigurationError
from etl_platform.limits import DOCUMENT_DEPTH

SUFFIXES = frozenset({".yaml", ".yml", ".toml"})

_Model = TypeVar("_Model", bound=BaseModel)


# libyaml reads five times faster, which every start of Dagster pays; not every build of PyYAML has it.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _UniqueKeyLoader(_SafeLoader):  # type: ignore[misc]
    """A key written twice in one mapping is a mistake, not "the last one wins"."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} twice", key_node.start_mark)
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


class _ExactLoader(_UniqueKeyLoader):
    """A number with decimals as it is written, where a float would keep about 15 digits of it; no octal numbers and
    no clock times, which YAML 1.1 reads from 010 and 12:30 without a word."""


def _construct_decimal(loader: Any, node: yaml.ScalarNode) -> Any:
    try:
        return Decimal(str(node.value).replace("_", ""))
    except InvalidOperation:  # .inf, .nan, 1:30.5
        return loader.construct_yaml_float(node)


def _construct_integer(loader: Any, node: yaml.ScalarNode) -> int:
    if not re.fullmatch(r"[+-]?(0|[1-9][0-9_]*)", node.value):
        found = f"{node.value}, which YAML reads as {loader.construct_yaml_int(node)}: write digits, or text in quotes"
        raise yaml.constructor.ConstructorError(None, None, found, node.start_mark)
    return int(node.value)


_ExactLoader.add_constructor("tag:yaml.org,2002:float", _construct_decimal)
_ExactLoader.add_constructor("tag:yaml.org,2002:int", _construct_integer)


_TOO_DEEP = "too many levels of nesting"
_OPENING = re.compile(r"[\[{?]|-\s")


def _require_depth(text: str) -> None:
    """libyaml composes nested nodes by recursion in C, and some ten thousand levels end the process: no exception, and
    nobody's files load. Its parser, which does not recurse, counts them first where there can be many."""
    if sum(1 for _ in _OPENING.finditer(text)) <= DOCUMENT_DEPTH:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DOCUMENT_DEPTH:
            raise ValueError(f"{_TOO_DEEP} (more than {DOCUMENT_DEPTH})")


def read_text(path: Path) -> str:
    """The text of a YAML or TOML file. Raises ConfigurationError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            str(path), found=error.strerror or str(error), expected="a file that can be read"
        ) from None
    except ValueError as error:  # text in another encoding
        raise _no_document(path, error) from None


def read_document(path: Path) -> Any:
    """The parsed YAML or TOML file. Raises ConfigurationError naming file and line."""
    return _parsed(path, read_text(path), is_exact=False)


def _parsed(path: Path, text: str, *, is_exact: bool) -> Any:
    try:
        if path.suffix == ".toml":
            return tomllib.loads(text, parse_float=Decimal if is_exact else float)
        _require_depth(text)
        return yaml.load(text, Loader=_ExactLoader if is_exact else _UniqueKeyLoader)  # noqa: S506 - SafeLoaders
    except RecursionError:
        raise ConfigurationError(str(path), found=_TOO_DEEP, expected=f"at most {DOCUMENT_DEPTH}") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        # Also dates that do not exist, lists as keys, TOML that is none.
        raise _no_document(path, error) from None


def _no_document(path: Path, error: Exception) -> ConfigurationError:
    return ConfigurationError(str(path), found=" ".join(str(error).split()), expected="valid YAML or TOML")


def document_paths(folder: Path) -> list[Path]:
    """The configuration files of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)


def parse_document(path: Path, text: str, model: type[_Model]) -> _Model:
    """The text of the file as `model`, numbers with decimals as Decimal, every digit of them. Raises
    ConfigurationError."""
    return as_model(path, _parsed(path, text, is_exact=True), model)


def as_model(path: Path, document: Any, model: type[_Model]) -> _Model:
    """What was read from `path` as `model`.

    Raises ConfigurationError for the first mistake; unknown fields get the near ones.
    """
    if not isinstance(document, dict):
        raise ConfigurationError(str(path), found=type(document).__name__, expected="a mapping of fields")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        # Where nothing else is wrong the misspelt name is the cause; the field that it left missing is the effect.
        mistakes = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        first = mistakes[0]
        field = ".".join(str(part) for part in first["loc"]) or "(file)"
        if first["type"] == "extra_forbidden":
            known = {name for one in _models_within(model) for name in one.model_fields}
            found, expected = "an unknown field", near(str(first["loc"][-1]), known)
        else:
            found, expected = _found_and_expected(first["msg"].removeprefix("Value error, "), first["input"])
        raise ConfigurationError(f"{path} field {field}", found=found, expected=expected) from None


def near(name: str, known: Iterable[str]) -> str:
    """The names like `name`, for a message; all of them where none is near."""
    names = sorted(known)
    return " or ".join(difflib.get_close_matches(name, names, n=3)) or f"one of {', '.join(names)}"


def _found_and_expected(message: str, given: Any) -> tuple[str, str]:
    """Our own validators say both; pydantic's say what they expected."""
    found, separator, expected = message.partition("; expected ")
    if separator:
        return found.removeprefix("found "), expected
    return f"{given!r:.80}", message


def _models_within(model: type[BaseModel], seen: set[type[BaseModel]] | None = None) -> set[type[BaseModel]]:
    """`model` and every model in the types of its fields."""
    models = seen if seen is not None else set()
    if model not in models:
        models.add(model)
        for field in model.model_fields.values():
            for part in _types_within(field.annotation):
                if inspect.isclass(part) and issubclass(part, BaseModel):
                    _models_within(part, models)
    return models


def _types_within(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _types_within(part)
