"""`room_link`: a room's address with the parameters that Whereby documents for it.

Source: "Using URL parameters" (Customizing rooms) in the Whereby docs, as of July 2025; each name there is a keyword
here, in snake_case. Whereby's own web component takes `https://<subdomain>.whereby.com/<room>` and nothing else, and so
does `room_link`: a parameter on another host would do nothing, and over plain http the `roomKey` would travel in the
clear. Nothing is logged, and no error shows what follows the link's path, since that may be a `roomKey`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final, Literal, TypeAlias, TypeGuard, get_args
from urllib.parse import quote, unquote_plus, urlsplit
from uuid import UUID

from .operation import unicode_text
from .redaction import SilentDict, as_secret, plain, shown, silent, type_name

__all__ = ["CAMERA_EFFECTS", "ROOM_LANGUAGES", "CameraEffect", "RoomLanguage", "Switch", "room_link"]

Switch: TypeAlias = bool | Literal["on", "off"]
"""`True` or `"on"`, `False` or `"off"`."""

_DocumentedLanguage: TypeAlias = Literal[
    "cs", "zh-hant", "da", "nl", "en", "fr", "de", "el", "hi", "hu", "it", "jp", "nb", "pt", "pl", "es", "sv", "uk"
]

RoomLanguage: TypeAlias = _DocumentedLanguage | str
"""A language of the room's controls. The documented ones, for completion; any text is looked up among them."""

CameraEffect: TypeAlias = Literal[
    "slight-blur", "blur", "image-cabin", "image-concrete", "image-brick", "image-sunrise", "image-day", "image-night"
]
"""What the camera's picture goes through."""

ROOM_LANGUAGES: Final[tuple[str, ...]] = get_args(_DocumentedLanguage)
"""The documented values of `lang`. Japanese is `jp` here."""

CAMERA_EFFECTS: Final[tuple[str, ...]] = get_args(CameraEffect)
"""The documented values of `camera_effect`."""

Pairs: TypeAlias = dict[str, str | None]
"""Names and what is written into the link for each: `name` alone, `name=value`, or `None` for nothing."""

_LONGEST_NAME: Final = 100
_CONTROLS: Final = map(chr, (*range(32), *range(127, 160)))
_UNSEEN: Final = map(chr, (0x61C, 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF))
"""What nobody sees, some of which turns the direction of text about; what joins an emoji's parts is not among them."""
_FORBIDDEN_IN_A_NAME: Final = str.maketrans(dict.fromkeys([*"$!<>:;", *_CONTROLS], " ") | dict.fromkeys(_UNSEEN, ""))
_JOINER: Final = "\u200d"
_FIRST_SKIN, _LAST_SKIN = "\U0001f3fb", "\U0001f3ff"
_MOST_GROUPS: Final = 20
_EXTERNAL_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,36}", re.ASCII)
_JAPANESE: Final = "ja"

_ADDRESS: Final = re.compile(
    r"https://[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.whereby\.com(?::443)?/(?P<name>[^?#\s]*)"
    r"(?:\?[^#\s]*)?(?:\#\S*)?",
    re.IGNORECASE | re.ASCII,
)
_SHAPE: Final = "https://<subdomain>.whereby.com/<room>"
_SECRET: Final = re.compile(r"(?<=//)[^/?#]*@|[?#].*", re.DOTALL)
_KEY: Final = "roomKey"


def room_link(  # noqa: PLR0913 - as many as the docs have; all are read at once, by locals()
    room_url: str,
    *,
    display_name: str | None = None,
    lang: RoomLanguage | None = None,
    external_id: str | UUID | None = None,
    metadata: str | None = None,
    avatar_url: str | None = None,
    groups: Iterable[str] | None = None,
    aec: Switch | None = None,
    agc: Switch | None = None,
    audio: Switch | None = None,
    audio_denoiser: Switch | None = None,
    auto_hide_self_view: Switch | None = None,
    auto_spotlight: Switch | None = None,
    background: Switch | None = None,
    bottom_toolbar: Switch | None = None,
    breakout: Switch | None = None,
    call_quality_monitoring: Switch | None = None,
    camera_access: Switch | None = None,
    camera_effect: CameraEffect | None = None,
    chat: Switch | None = None,
    chat_download: Switch | None = None,
    float_self: Switch | None = None,
    highlight_active_speaker: Switch | None = None,
    leave_button: Switch | None = None,
    localization: Switch | None = None,
    locking: Switch | None = None,
    logo: Switch | None = None,
    low_data: Switch | None = None,
    minimal: Switch | None = None,
    more_button: Switch | None = None,
    participant_count: Switch | None = None,
    people: Switch | None = None,
    pip_button: Switch | None = None,
    precall_ceremony: Switch | None = None,
    precall_ceremony_can_skip: Switch | None = None,
    precall_permission_help_link: str | None = None,
    precall_permissions_help_link: str | None = None,
    precall_review: Switch | None = None,
    room_integrations: Switch | None = None,
    screenshare: Switch | None = None,
    settings_button: Switch | None = None,
    skip_media_permission_prompt: Switch | None = None,
    subgrid_labels: Switch | None = None,
    timer: Switch | None = None,
    toolbar_dark_text: Switch | None = None,
    toolbar_text: Switch | None = None,
    top_toolbar: Switch | None = None,
    video: Switch | None = None,
    virtual_background_url: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> str:
    """A link into a room, with parameters for whoever opens it.

    What the link carries already (a `roomKey`, other parameters, a fragment) stays as and where it is; a parameter that
    is on it already is replaced. A keyword that is `None` changes nothing, nor does an empty or blank text or an empty
    list. Where Whereby documents only `off` (or only `on`, or a bare name) the other word is the default, spelled by
    leaving the parameter out. People who are logged in to the Whereby account see their own settings instead.

    Args:
        room_url: `room_url`, `host_room_url` or `viewer_room_url` of a meeting.
        display_name: The participant's name. Whereby takes up to 100 characters, none of `$!<>:;`, so each of these
            becomes a space, several spaces become one, and what is longer is cut behind a whole character. They are
            counted as a browser counts them, an emoji as two or more.
        lang: Language of the controls: one of `ROOM_LANGUAGES`, such as `en`, `nb`, `zh-hant`, `jp`, in any case.
        external_id: Your id of the participant, kept in insights and webhooks: up to 36 of `A-Za-z0-9-_`, or a UUID.
        metadata: Text that is passed on to the webhooks.
        avatar_url: The participant's picture: https, no query; square PNG or JPEG, up to 64 by 64 pixels, from a domain
            that the dashboard allows.
        groups: Names for up to 20 breakout groups.
        aec: Acoustic echo cancellation; noise reduction needs it.
        agc: Automatic gain control; noise reduction needs it.
        audio: Join with the microphone on?
        audio_denoiser: Noise reduction; costs older devices much.
        auto_hide_self_view: Hide the own picture by and by; needs `float_self`.
        auto_spotlight: Put the participant in the spotlight on joining; hosts only.
        background: Show the room's background.
        bottom_toolbar: Show the bottom toolbar.
        breakout: Offer breakout groups to the host.
        call_quality_monitoring: Offer the meeting's diagnostics; needs the top toolbar.
        camera_access: Ask for the camera at all?
        camera_effect: What the camera's picture goes through (see `CAMERA_EFFECTS`); can be changed in the room.
        chat: Show the chat button.
        chat_download: Let this participant download the chat afterwards.
        float_self: Float the own picture at the bottom right.
        highlight_active_speaker: Highlight who speaks.
        leave_button: Show the button to leave.
        localization: Show the choice of language.
        locking: Show the button that locks the room.
        logo: Show the logo.
        low_data: Start with a lower resolution.
        minimal: Show no controls but camera and microphone.
        more_button: Show the button for more.
        participant_count: Show how many are there.
        people: Show the people button.
        pip_button: Show the picture-in-picture button.
        precall_ceremony: Test devices and connection first; needs `precall_review`.
        precall_ceremony_can_skip: Let that test be skipped; needs `precall_review`.
        precall_permission_help_link: Where the review before the call sends people for help: http or https.
            Whereby's docs and SDKs spell its name differently, so it is written in both spellings.
        precall_permissions_help_link: The same in the spelling of Whereby's SDKs: pass one of the two.
        precall_review: Show the review before the call.
        room_integrations: Offer YouTube and Miro in the room.
        screenshare: Show the button that shares a screen.
        settings_button: Show the settings button.
        skip_media_permission_prompt: Ask for devices without explaining why first.
        subgrid_labels: Show names in the smaller grid.
        timer: Show the meeting's timer.
        toolbar_dark_text: Black labels on buttons.
        toolbar_text: Show labels on the toolbar's buttons.
        top_toolbar: Show the top toolbar.
        video: Join with the camera on?
        virtual_background_url: A picture behind the participant: 1280 by 720, PNG or JPEG, served with CORS.
        extra: More parameters, or documented ones unchecked, by their names on the wire: they win over the keywords.
            Either name of the help link stands for both. Booleans become `on` and `off`, lists are joined by commas,
            `""` is a bare name, `None` is left out.

    Returns:
        The link, a plain string. With a `roomKey` it is a secret: it makes whoever opens it a host or a viewer.

    Raises:
        ValueError: The link is none into a room, or a value is outside what Whereby documents.
        TypeError: The link or a value is of another type.
    """
    given = SilentDict(locals())  # every keyword by its name
    del given["room_url"], given["extra"]
    room_url, extra = as_secret(room_url), silent(extra)
    _require_a_room(room_url)
    return _joined(room_url, _pairs(given, extra, frozenset(map(_name, _parts(room_url)))))


def _require_a_room(room_url: str) -> None:
    if not isinstance(room_url, str):
        hint = " (which the API gives only if asked for with fields=)" if room_url is None else ""
        message = f"room_url is {type_name(room_url)}: pass a meeting's room_url or host_room_url{hint}, a string"
        raise TypeError(message)
    problem = _problem(room_url)
    if problem:
        raise ValueError(f"room_url={shown(_SECRET.sub('***', room_url))} {problem}")


def _problem(room_url: str) -> str:
    """What is wrong with an address. It is raised elsewhere, since the match's repr shows the beginning of the link."""
    match = _ADDRESS.fullmatch(room_url)
    if match is None:
        if room_url.lower().startswith("http://"):
            return f"is plain http, which would send a roomKey in the clear and gets no camera: pass {_SHAPE}"
        if room_url.startswith("/"):
            return f"is a room's name: pass the meeting's room_url, {_SHAPE}"
        return f"is no address of a Whereby room: pass a meeting's room_url as the API gave it, {_SHAPE}"
    if not match["name"].strip("/"):
        return f"names no room: pass {_SHAPE}"
    if any("?" in part and (_name(part) == _KEY or f"?{_KEY}=" in part) for part in _parts(room_url)):
        return "goes on with a second '?': pass it as the API gave it, and the parameters as keywords"
    return ""


def _joined(room_url: str, pairs: Pairs) -> str:
    """The address with these parameters, replaced where they are on it already, else behind the others."""
    if _has_another_key(room_url, pairs):
        raise ValueError("extra holds a roomKey, and room_url carries another one: pass the room_url that you mean")
    left = dict(pairs)
    parts = [left.pop(name, None) if (name := _name(part)) in pairs else part for part in _parts(room_url)]
    query = "&".join(part for part in (*parts, *left.values()) if part)
    address, hash_, fragment = room_url.partition("#")
    return address.partition("?")[0] + (f"?{query}" if query else "") + hash_ + fragment


def _has_another_key(room_url: str, pairs: Pairs) -> bool:
    key = pairs.get(_KEY)
    return key is not None and any(_name(part) == _KEY and part != key for part in _parts(room_url))


def _parts(room_url: str) -> list[str]:
    return [part for part in room_url.partition("#")[0].partition("?")[2].split("&") if part]


def _name(part: str) -> str:
    return unquote_plus(part.partition("=")[0])


def _pairs(given: Mapping[str, Any], extra: Mapping[str, Any] | None, on_link: frozenset[str]) -> Pairs:
    """What the keywords and `extra` stand for, checked; `on_link` are the names that the link carries already."""
    pairs: Pairs = {}
    for keyword, value in given.items():
        check = _CHECKS.get(keyword)
        if value is None or (check and _is_blank(value)):
            continue
        text = check(keyword, value) if check else _word(keyword, value)
        if check and not text:
            continue  # nothing is left of it
        for name in _spellings(_camel(keyword)):
            pair = None if text is None else f"{name}={text}" if text else name
            if pairs.setdefault(name, pair) != pair:
                raise ValueError(f"{' and '.join(_HELP_LINKS)} are one parameter and differ: pass one of them")
    more = _unchecked(extra)
    _require_effect(pairs, on_link | more.keys())
    return SilentDict(pairs | more)


def _camel(keyword: str) -> str:
    first, *others = keyword.split("_")
    return first + "".join(word.title() for word in others)


_HELP_LINKS: Final = ("precall_permission_help_link", "precall_permissions_help_link")
_HELP_LINK_NAMES: Final = tuple(map(_camel, _HELP_LINKS))
"""The name that Whereby's docs give, and the one that its SDKs send. Which one the room reads is not known."""


def _spellings(name: str) -> tuple[str, ...]:
    """The names under which a parameter is written."""
    return _HELP_LINK_NAMES if name in _HELP_LINK_NAMES else (name,)


def _encoded(name: str, value: str) -> str:
    return quote(unicode_text(name, value), safe="")


def _undocumented(name: str, value: str, problem: str) -> ValueError:
    return ValueError(f"{name}={shown(value)}{problem}. extra= takes it unchecked")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}: {shown(value)}")
    if _is_blank(value):
        raise ValueError(f"{name}={shown(value)} is blank: leave it out, or pass None")
    return str.__str__(value)


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


def _display_name(name: str, value: object) -> str:
    text = unicode_text(name, _text(name, value))
    return _encoded(name, _shortened(" ".join(text.translate(_FORBIDDEN_IN_A_NAME).split())))


def _shortened(text: str) -> str:
    """As much of a name as a browser counts for its longest, which it does in UTF-16, and no part of a character."""
    kept = text.encode("utf-16-le")[: 2 * _LONGEST_NAME].decode("utf-16-le", "ignore")
    while kept and len(kept) < len(text) and _is_one_character(kept[-1], text[len(kept)]):
        kept = kept[:-1]
    return kept.rstrip()


def _is_one_character(left: str, right: str) -> bool:
    """Whether the right one is an accent or a skin colour of the left one, or both are joined to one emoji."""
    joined = _JOINER in {left, right} or _FIRST_SKIN <= right <= _LAST_SKIN
    return joined or unicodedata.category(right).startswith("M")


def _external_id(name: str, value: object) -> str:
    text = _text(name, str(value) if isinstance(value, UUID) else value)
    if not _EXTERNAL_ID.fullmatch(text):
        advice = ": pass up to 36 of A-Z a-z 0-9 - _, such as a UUID (Whereby refuses all others)"
        raise _undocumented(name, text, advice)
    return text


def _lang(name: str, value: object) -> str:
    text = _text(name, value)
    code = text.lower()
    if code not in ROOM_LANGUAGES:
        advice = "Whereby spells Japanese 'jp'" if code == _JAPANESE else f"pass one of {', '.join(ROOM_LANGUAGES)}"
        raise _undocumented(name, text, f": {advice}")
    return code


def _camera_effect(name: str, value: object) -> str:
    text = _text(name, value)
    if text not in CAMERA_EFFECTS:
        raise _undocumented(name, text, f": pass one of {', '.join(CAMERA_EFFECTS)}")
    return text


def _groups(name: str, value: object) -> str:
    if not _is_a_list(value):
        raise TypeError(f"{name} must be a list of names, not {type(value).__name__}: {shown(value)}")
    names = [_text(name, item) for item in value]
    if len(names) > _MOST_GROUPS:
        raise ValueError(f"{name} holds {len(names)} names: pass up to {_MOST_GROUPS}. extra= takes it unchecked")
    for item in names:
        if "," in item:
            advice = "a comma ends a group's name, so pass each name in a string of its own"
            raise ValueError(f"{name} holds {shown(item)}: {advice}")
    return ",".join(_encoded(name, item) for item in names)


def _is_a_list(value: object) -> TypeGuard[Iterable[object]]:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def _avatar_url(name: str, value: object) -> str:
    address = _address(name, value, "https")
    if "%3F" in address or "%23" in address:
        message = f"{name}={_bare(value)} goes on with a query or a fragment: Whereby takes none there"
        raise ValueError(message + ". extra= takes it unchecked")
    return address


def _address(name: str, value: object, *schemes: str) -> str:
    schemes = schemes or ("https", "http")
    text = _text(name, value)
    try:
        parts = urlsplit(text)
        usable = parts.scheme in schemes and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or not text.isprintable() or " " in text:
        raise ValueError(f"{name}={_bare(text)} is no usable address: pass a whole {' or '.join(schemes)} URL")
    return _encoded(name, text)


def _bare(address: object) -> str:
    """An address for an error's text, without the query, which may be signed."""
    return shown(re.split("[?#]", str(address))[0])


def _word(keyword: str, value: object) -> str | None:
    """The word of a switch on the wire, `""` for a bare name and `None` for nothing."""
    word = plain(value.value if isinstance(value, Enum) else value)
    if not (isinstance(word, bool) or (isinstance(word, str) and word in {"on", "off"})):
        message = f"{keyword}={shown(value)}: pass True or False (or 'on' or 'off')"
        raise (ValueError if isinstance(value, str) else TypeError)(message)
    on, off = _WORDS.get(keyword, ("on", "off"))
    return on if word in {True, "on"} else off


_CHECKS: Final[Mapping[str, Callable[[str, object], str]]] = {
    "display_name": _display_name,
    "lang": _lang,
    "external_id": _external_id,
    "metadata": lambda name, value: _encoded(name, _text(name, value)),
    "avatar_url": _avatar_url,
    "groups": _groups,
    "camera_effect": _camera_effect,
    **dict.fromkeys(_HELP_LINKS, _address),
    "virtual_background_url": _address,
}
"""The checks of all keywords but the switches."""

_WORDS: Final[Mapping[str, tuple[str | None, str | None]]] = {
    **dict.fromkeys(("aec", "agc", "audio", "background", "locking", "logo"), (None, "off")),
    **dict.fromkeys(("more_button", "participant_count", "people", "pip_button"), (None, "off")),
    **dict.fromkeys(("settings_button", "video"), (None, "off")),
    **dict.fromkeys(("precall_ceremony_can_skip", "room_integrations"), ("on", None)),
    **dict.fromkeys(("auto_hide_self_view", "auto_spotlight", "float_self", "minimal"), ("", None)),
    **dict.fromkeys(("skip_media_permission_prompt", "toolbar_dark_text"), ("", None)),
}
"""The words of switches that Whereby does not document with both `on` and `off`."""

_NEEDS: Final = (
    ("audio_denoiser", "aec"),
    ("audio_denoiser", "agc"),
    ("call_quality_monitoring", "top_toolbar"),
    ("precall_ceremony", "precall_review"),
    ("precall_ceremony_can_skip", "precall_review"),
)
"""Switches that Whereby documents to have no effect if another one is off."""


def _require_effect(pairs: Pairs, others: frozenset[str]) -> None:
    texts = set(pairs.values())
    for wish, needed in _NEEDS:
        if {f"{_camel(wish)}=on", f"{_camel(needed)}=off"} <= texts:
            raise ValueError(f"{wish}=True does nothing with {needed}=False: leave out one of them")
    if "autoHideSelfView" in texts and not pairs.get("floatSelf", "floatSelf" in others):
        raise ValueError("auto_hide_self_view=True does nothing without float_self=True: pass both")


def _unchecked(extra: Mapping[str, Any] | None) -> Pairs:
    if extra is None:
        return {}
    if not isinstance(extra, Mapping):
        raise TypeError(f"extra must be a dictionary of names and values, not {type_name(extra)}")
    pairs: Pairs = SilentDict()  # a roomKey may be among them
    for name, value in extra.items():
        if not isinstance(name, str) or not name.strip():
            message = f"extra has the key {shown(name)}: pass names as they stand in the address"
            raise (ValueError if isinstance(name, str) else TypeError)(message)
        for spelled in _spellings(name) if value is not None else ():
            if spelled == name or spelled not in extra:
                pairs[spelled] = _extra_pair(spelled, value)
    return pairs


def _extra_pair(name: str, value: object) -> str:
    key, text = _encoded("extra", name), _extra_text(name, value)  # in a frame of its own, since it may be a key
    return f"{key}={text}" if text else key


def _extra_text(name: str, value: object) -> str:
    value = plain(value.value if isinstance(value, Enum) else value)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str | int | float | UUID):
        return _encoded(f"extra[{name!r}]", str(value))
    if _is_a_list(value):
        return ",".join(_extra_text(name, item) for item in value)
    message = f"extra[{name!r}] is of type {type(value).__name__}: pass a string, a number, a boolean or a list of them"
    raise TypeError(message)
