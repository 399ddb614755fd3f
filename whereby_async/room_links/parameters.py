"""The documented parameters of a room's address: how each is spelled on the wire, and what it takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final, Literal, TypeAlias, TypeGuard, get_args
from urllib.parse import quote, urlsplit
from uuid import UUID

from ..operation import unicode_text
from ..redaction import SilentDict, shown

Switch: TypeAlias = bool | Literal["on", "off"]
"""`True` or `"on"`, `False` or `"off"`."""

_DocumentedLanguage: TypeAlias = Literal[
    "cs", "zh-hant", "da", "nl", "en", "fr", "de", "el", "hi", "hu", "it", "jp", "nb", "pt", "pl", "es", "sv", "uk"
]

RoomLanguage: TypeAlias = _DocumentedLanguage | str
"""A language of the room's controls. The documented ones, for completion; any other code is taken too."""

CameraEffect: TypeAlias = Literal[
    "slight-blur",
    "blur",
    "image-cabin",
    "image-concrete",
    "image-brick",
    "image-sunrise",
    "image-day",
    "image-night",
]
"""What the camera's picture goes through."""

ROOM_LANGUAGES: Final[tuple[str, ...]] = get_args(_DocumentedLanguage)
"""The documented values of `lang`. Japanese is `jp` here."""

CAMERA_EFFECTS: Final[tuple[str, ...]] = get_args(CameraEffect)
"""The documented values of `camera_effect`."""


Pairs: TypeAlias = dict[str, str | None]
"""Wire names and what stands on the wire for each: `name` alone, `name=value`, or `None` for nothing."""

_LONGEST_NAME: Final = 100
_FORBIDDEN_IN_A_NAME: Final = "$!<>:;"
_MOST_GROUPS: Final = 20
_EXTERNAL_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,36}", re.ASCII)
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*", re.ASCII)
_JAPANESE: Final = "ja"
_CHECKED: Final = ". extra= takes it unchecked"


def pairs_of(given: Mapping[str, Any], extra: Mapping[str, Any] | None, on_link: frozenset[str]) -> Pairs:
    """What the keywords and `extra` stand for, checked; `on_link` are the names that the link carries already.

    Raises:
        TypeError: A value is of the wrong type.
        ValueError: A value is outside what Whereby documents, or has no effect beside another.
    """
    pairs: Pairs = {}
    for keyword, value in given.items():
        if value is not None:
            name = _camel(keyword)
            text = _RULES.get(keyword, _switch)(keyword, value)
            pairs[name] = None if text is None else f"{name}={text}" if text else name
    more = _unchecked(extra)
    _refuse_the_futile(pairs, on_link | more.keys())
    return SilentDict(pairs | more)


def _camel(keyword: str) -> str:
    first, *others = keyword.split("_")
    return first + "".join(word.title() for word in others)


def _encoded(name: str, value: str) -> str:
    return quote(unicode_text(name, value), safe="")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        message = f"{name} must be a string, not {type(value).__name__}: {shown(value)}"
        raise TypeError(message)
    if not value.strip():
        message = f"{name}={shown(value)} is blank: leave it out, or pass None"
        raise ValueError(message)
    return str.__str__(value)


def _free_text(name: str, value: object) -> str:
    return _encoded(name, _text(name, value))


def _display_name(name: str, value: object) -> str:
    text = _text(name, value)
    wrong = sorted({character for character in text if character in _FORBIDDEN_IN_A_NAME})
    if wrong:
        message = (
            f"{name}={shown(text)} holds {' '.join(wrong)}: Whereby refuses names with any of {_FORBIDDEN_IN_A_NAME}"
        )
        raise ValueError(message + _CHECKED)
    if len(text) > _LONGEST_NAME:
        message = f"{name}={shown(text)} has {len(text)} characters: Whereby refuses names of more than {_LONGEST_NAME}"
        raise ValueError(message + _CHECKED)
    return _encoded(name, text)


def _external_id(name: str, value: object) -> str:
    text = _text(name, str(value) if isinstance(value, UUID) else value)
    if not _EXTERNAL_ID.fullmatch(text):
        message = f"{name}={shown(text)}: pass up to 36 of A-Z a-z 0-9 - _, such as a UUID (Whereby refuses all others)"
        raise ValueError(message + _CHECKED)
    return text


def _lang(name: str, value: object) -> str:
    text = _text(name, value)
    if text.lower() == _JAPANESE:
        message = f"{name}={shown(text)}: Whereby spells Japanese 'jp'"
        raise ValueError(message + _CHECKED)
    if not _LANGUAGE.fullmatch(text):
        message = f"{name}={shown(text)} is no language code: pass one of {', '.join(ROOM_LANGUAGES)}, or a newer one"
        raise ValueError(message + _CHECKED)
    return text.lower() if text.lower() in ROOM_LANGUAGES else text


def _camera_effect(name: str, value: object) -> str:
    text = _text(name, value)
    if text not in CAMERA_EFFECTS:
        message = f"{name}={shown(text)}: pass one of {', '.join(CAMERA_EFFECTS)}"
        raise ValueError(message + _CHECKED)
    return text


def _groups(name: str, value: object) -> str:
    if not _is_a_list(value):
        message = f"{name} must be a list of names, not {type(value).__name__}: {shown(value)}"
        raise TypeError(message)
    names = [_text(name, item) for item in value]
    if not 1 <= len(names) <= _MOST_GROUPS:
        message = f"{name} holds {len(names)} names: pass 1 to {_MOST_GROUPS}"
        raise ValueError(message + _CHECKED)
    for item in names:
        if "," in item:
            message = (
                f"{name} holds {shown(item)}: a comma ends a group's name, so pass each name in a string of its own"
            )
            raise ValueError(message)
    return ",".join(_encoded(name, item) for item in names)


def _is_a_list(value: object) -> TypeGuard[Iterable[object]]:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def _https(name: str, value: object) -> str:
    return _address(name, value, "https")


def _web(name: str, value: object) -> str:
    return _address(name, value, "https", "http")


def _avatar(name: str, value: object) -> str:
    address = _https(name, value)
    if "%3F" in address or "%23" in address:
        message = f"{name}={_bare(value)} goes on with a query or a fragment: Whereby takes none there{_CHECKED}"
        raise ValueError(message)
    return address


def _address(name: str, value: object, *schemes: str) -> str:
    text = _text(name, value)
    try:
        parts = urlsplit(text)
        usable = parts.scheme in schemes and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or not text.isprintable() or " " in text:
        message = f"{name}={_bare(text)} is no usable address: pass a whole {' or '.join(schemes)} URL"
        raise ValueError(message)
    return _encoded(name, text)


def _bare(address: object) -> str:
    """An address for an error's text, without the query, which may be signed."""
    return shown(re.split("[?#]", str(address))[0])


def _is_on(name: str, value: object) -> bool:
    word = value.value if isinstance(value, Enum) else value
    if isinstance(word, bool):
        return word
    if isinstance(word, str) and word in {"on", "off"}:
        return word == "on"
    message = f"{name}={shown(value)}: pass True or False (or 'on' or 'off')"
    raise (ValueError if isinstance(value, str) else TypeError)(message)


def _switch(name: str, value: object) -> str | None:
    return "on" if _is_on(name, value) else "off"


def _only_off(name: str, value: object) -> str | None:
    return None if _is_on(name, value) else "off"


def _only_on(name: str, value: object) -> str | None:
    return "on" if _is_on(name, value) else None


def _flag(name: str, value: object) -> str | None:
    return "" if _is_on(name, value) else None


_RULES: Final[Mapping[str, Callable[[str, object], str | None]]] = {
    "display_name": _display_name,
    "lang": _lang,
    "external_id": _external_id,
    "metadata": _free_text,
    "avatar_url": _avatar,
    "groups": _groups,
    "camera_effect": _camera_effect,
    "precall_permission_help_link": _web,
    "virtual_background_url": _web,
    **dict.fromkeys(
        ("aec", "agc", "audio", "background", "locking", "logo", "more_button", "participant_count"), _only_off
    ),
    **dict.fromkeys(("people", "pip_button", "settings_button", "video"), _only_off),
    **dict.fromkeys(("precall_ceremony_can_skip", "room_integrations"), _only_on),
    **dict.fromkeys(("auto_hide_self_view", "auto_spotlight", "float_self", "minimal"), _flag),
    **dict.fromkeys(("skip_media_permission_prompt", "toolbar_dark_text"), _flag),
}
"""Each keyword's rule; those that are not here are documented with both `on` and `off`."""

_FUTILE: Final = (
    ("audioDenoiser=on", "aec=off", "audio_denoiser=True does nothing with aec=False"),
    ("audioDenoiser=on", "agc=off", "audio_denoiser=True does nothing with agc=False"),
    ("callQualityMonitoring=on", "topToolbar=off", "call_quality_monitoring=True does nothing with top_toolbar=False"),
    ("precallCeremony=on", "precallReview=off", "precall_ceremony=True does nothing with precall_review=False"),
    (
        "precallCeremonyCanSkip=on",
        "precallReview=off",
        "precall_ceremony_can_skip=True does nothing with precall_review=False",
    ),
)


def _refuse_the_futile(pairs: Pairs, others: frozenset[str]) -> None:
    """Whereby documents that some parameters have no effect beside, or without, another."""
    texts = set(pairs.values())
    for wish, obstacle, problem in _FUTILE:
        if {wish, obstacle} <= texts:
            raise ValueError(f"{problem}: leave out one of them")
    if "autoHideSelfView" in texts and not pairs.get("floatSelf", "floatSelf" in others):
        raise ValueError("auto_hide_self_view=True does nothing without float_self=True: pass both")


def _unchecked(extra: Mapping[str, Any] | None) -> Pairs:
    if extra is None:
        return {}
    if not isinstance(extra, Mapping):
        message = f"extra must be a dictionary of names and values, not {type(extra).__name__}"
        raise TypeError(message)
    pairs: Pairs = SilentDict()  # a roomKey may be among them
    for name, value in extra.items():
        if not isinstance(name, str) or not name.strip():
            message = f"extra has the key {shown(name)}: pass names as they stand in the address"
            raise (ValueError if isinstance(name, str) else TypeError)(message)
        if value is not None:
            pairs[name] = _extra_pair(name, value)
    return pairs


def _extra_pair(name: str, value: object) -> str:
    key, text = _encoded("extra", name), _extra_text(name, value)
    return f"{key}={text}" if text else key


def _extra_text(name: str, value: object) -> str:
    value = value.value if isinstance(value, Enum) else value
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str | int | float | UUID):
        return _encoded(f"extra[{name!r}]", str(value))
    if _is_a_list(value):
        return ",".join(_extra_text(name, item) for item in value)
    message = f"extra[{name!r}] is of type {type(value).__name__}: pass a string, a number, a boolean or a list of them"
    raise TypeError(message)
