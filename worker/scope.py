"""The typed parameters that narrow a run, validated by one model wherever they come from."""

import shlex
import types
import typing
from collections.abc import Mapping
from datetime import date, datetime
from difflib import get_close_matches
from enum import Enum
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec

from worker.errors import Faults
from worker.mask import MASK, Mask

S = TypeVar("S", bound="Scope")

RESERVED = ("dry_run", "max_records", "max_affected", "run_key", "wait")
"""What stands beside the scope fields in a POST body: no field of a job may be named so."""

Secret = Annotated[
    str, msgspec.Meta(extra={"secret": True}, extra_json_schema={"format": "password", "writeOnly": True})
]
"""A text that no log, summary, message or table may show."""


class Scope(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What narrows a run; a job declares its fields. Empty (all at their defaults) = the whole scheduled run."""

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in shown(self).items()) or "all"


def parse(model: type[S], values: Mapping[str, Any], *, text: bool = False) -> S:
    """Build a scope from field values; `text` says that they are strings (flags, environment).

    Raises Faults naming every wrong field: unknown, missing or ill-typed.
    """
    fields = {field.name: field for field in msgspec.structs.fields(model)}
    faults = [_unknown(name, fields) for name in values if name not in fields]
    given: dict[str, Any] = {}
    for name, field in fields.items():
        if name in values:
            try:
                given[name] = _convert(values[name], field.type, text)
            except msgspec.DecodeError as error:
                faults.append(f"scope {name}: {_misfit(values[name], field.type, text, error)}")
        elif field.required:
            faults.append(f"scope {name} is required: --scope {name}=… or {variable(name)}=…")
    if faults:
        raise Faults(faults)
    try:
        return model(**given)
    except (ValueError, TypeError) as error:  # the model's own __post_init__
        raise Faults([Mask(_given_secrets(model, given))(f"scope: {_said(error)}")]) from error


def _given_secrets(model: type[Scope], given: Mapping[str, Any]) -> list[str]:
    return [
        str(given[field.name])
        for field in msgspec.structs.fields(model)
        if field.name in given and _is_secret(field.type)
    ]


def variable(field: str) -> str:
    """Name the environment variable of a scope field."""
    return f"JOB_{field.upper()}"


def variables(scope: Scope) -> dict[str, str]:
    """Say a scope in environment variables: `parse(…, text=True)` of their texts gives it back.

    Raises Faults naming the fields whose value no variable can hold.
    """
    texts = {name: as_text(value) for name, value in encode(scope).items()}
    types_of = {field.name: field.type for field in msgspec.structs.fields(scope)}
    lost = [name for name, text in texts.items() if not _survives(text, types_of[name], getattr(scope, name))]
    if lost:
        raise Faults([f"scope {name} has a value that {variable(name)} cannot hold" for name in lost])
    return {variable(name): text for name, text in texts.items()}


def as_text(value: Any) -> str:
    """Say a field's JSON value as flags and variables do."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def as_flags(fields: Mapping[str, Any]) -> list[str]:
    """Say fields, as JSON values, in flags that a shell takes."""
    return [f"--scope {shlex.quote(f'{name}={as_text(value)}')}" for name, value in fields.items()]


def encode(scope: Scope) -> dict[str, Any]:
    """Give the fields that differ from their defaults, as JSON values."""
    result: dict[str, Any] = msgspec.to_builtins(scope)
    defaults = {
        field.name: msgspec.to_builtins(_default(field))
        for field in msgspec.structs.fields(scope)
        if not field.required
    }
    return {name: value for name, value in result.items() if name not in defaults or defaults[name] != value}


def whole(scope: Scope) -> bytes:
    """Give everything in the scope as JSON, secrets included: to be hashed, never shown."""
    return msgspec.json.encode(encode(scope), order="sorted")


def shown(scope: Scope) -> dict[str, Any]:
    """Give what `encode` gives, with secret fields masked."""
    return masked(type(scope), encode(scope))


def masked(model: type[Scope], values: Mapping[str, Any]) -> dict[str, Any]:
    """Give field values, right or wrong, with those of secret fields masked."""
    secret = {field.name for field in msgspec.structs.fields(model) if _is_secret(field.type)}
    return {name: MASK if name in secret else value for name, value in values.items()}


def described(model: type[Scope]) -> list[tuple[str, str, str]]:
    """Give name, type in words and default in words of every field."""
    return [
        (field.name, _type_words(field.type), "required" if field.required else f"default {_default(field)!r}")
        for field in msgspec.structs.fields(model)
    ]


def secrets(scope: Scope) -> list[str]:
    """Give the values that must never be shown."""
    return [
        str(value)
        for field in msgspec.structs.fields(scope)
        if _is_secret(field.type) and (value := getattr(scope, field.name)) is not None
    ]


def _convert(value: Any, field_type: Any, text: bool) -> Any:
    if text and isinstance(value, str):
        if value == "" and _allows(field_type, types.NoneType):
            return None
        if _list_type(field_type):
            value = _elements(value)
    return msgspec.convert(value, field_type, strict=not text)


def _elements(text: str) -> Any:
    """Read a list from a text: JSON, or its elements between commas."""
    if text.startswith("["):
        return msgspec.json.decode(text)
    return [part.strip() for part in text.split(",") if part.strip()]


def _misfit(value: Any, field_type: Any, text: bool, error: msgspec.DecodeError) -> str:
    """Say which value does not fit its field, and what would: `'abc' is not a whole number`."""
    if _is_secret(field_type):
        return f"the value (not shown) is not {_kind(field_type)}"
    if not isinstance(error, msgspec.ValidationError):
        return f"{value!r:.200} is no JSON list: {_said(error)}"
    found = _elements(value) if text and _list_type(field_type) else value
    if isinstance(found, list) and (element_type := _element_type(field_type)):
        for element in found:
            try:
                msgspec.convert(element, element_type, strict=not text)
            except msgspec.ValidationError as wrong:
                return _misfit(element, element_type, text, wrong)
    if _in_kind(found, field_type, text):
        must = str(error).partition("` ")[2]
        return f"{found!r:.200} is not allowed: it must be {must}"
    return f"{found!r:.200} is not {_kind(field_type)}"


def _in_kind(value: Any, field_type: Any, text: bool) -> bool:
    """Tell whether a value is of the right type and only out of its bounds."""
    for part in _unwrapped(field_type):
        try:
            msgspec.convert(value, part, strict=not text)
        except msgspec.ValidationError:
            continue
        return True
    return False


_KINDS: dict[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    date: "a date like 2026-11-22",
    datetime: "a time like 2026-11-22T06:30:00Z",
    UUID: "a UUID",
    types.NoneType: "null",
}


def _kind(field_type: Any) -> str:
    """Say a type in plain words; leaving a field out needs no word."""
    parts = [part for part in _unwrapped(field_type) if part is not types.NoneType]
    return " or ".join(_KINDS[part] if part in _KINDS else _rarer_kind(part) for part in parts)


def _rarer_kind(part: Any) -> str:
    if typing.get_origin(part) is typing.Literal:
        return f"one of {', '.join(map(str, typing.get_args(part)))}"
    if isinstance(part, type) and issubclass(part, Enum):
        return f"one of {', '.join(str(member.value) for member in part)}"
    if element_type := _element_type(part):
        return f"a list, each {_kind(element_type)}"
    return f"of the type {getattr(part, '__name__', part)}"


def _default(field: msgspec.structs.FieldInfo) -> Any:
    """Give a field's default; that of a list is made afresh each time."""
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _survives(text: str, field_type: Any, value: Any) -> bool:
    try:
        return "\0" not in text and bool(_convert(text, field_type, text=True) == value)
    except msgspec.DecodeError:
        return False


def _unwrapped(field_type: Any) -> list[Any]:
    """Give the members of a union, or the type itself, without annotations."""
    if typing.get_origin(field_type) in (typing.Union, types.UnionType):
        return [part for member in typing.get_args(field_type) for part in _unwrapped(member)]
    if typing.get_origin(field_type) is Annotated:
        return _unwrapped(typing.get_args(field_type)[0])
    return [field_type]


def _allows(field_type: Any, member: type) -> bool:
    return member in _unwrapped(field_type)


def _list_type(field_type: Any) -> bool:
    return any(typing.get_origin(part) in (list, tuple, set, frozenset) for part in _unwrapped(field_type))


def _element_type(field_type: Any) -> Any:
    """Give the type of a list's elements; None where it is no list of one type."""
    found = [typing.get_args(part) for part in _unwrapped(field_type) if _list_type(part)]
    return found[0][0] if found and (len(found[0]) == 1 or found[0][1:] == (...,)) else None


def _is_secret(field_type: Any) -> bool:
    if typing.get_origin(field_type) is Annotated:
        return any(
            isinstance(meta, msgspec.Meta) and (meta.extra or {}).get("secret") for meta in field_type.__metadata__
        )
    return any(_is_secret(part) for part in typing.get_args(field_type))


def _type_words(field_type: Any) -> str:
    words = [
        getattr(part, "__name__", str(part))
        if typing.get_origin(part) is None
        else f"list of {_type_words(typing.get_args(part)[0])}"
        for part in _unwrapped(field_type)
        if part is not types.NoneType
    ]
    return " or ".join(words)


def _unknown(name: str, fields: Mapping[str, Any]) -> str:
    near = get_close_matches(name, fields, 1)
    if near:
        return f"scope has no field {name!r}; did you mean {near[0]!r}?"
    return f"scope has no field {name!r}; it has {', '.join(fields) or 'none'}"


def _said(error: Exception) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]
