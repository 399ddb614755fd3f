"""Links into rooms: what stands on them, in which spelling, and what is refused."""

from __future__ import annotations

import inspect
import re
import traceback
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from whereby_async import room_link
from whereby_async.room_links import CAMERA_EFFECTS, ROOM_LANGUAGES

PLAIN = "https://example.whereby.com/r"
KEY = "roomKey=eyJhbGciOiJIUzI1NiJ9.eyJtZWV0aW5nSWQiOiIxIn0.c2lnbmF0dXJl"
HOST = f"{PLAIN}?{KEY}"

ON_OR_OFF = [
    "audioDenoiser", "bottomToolbar", "breakout", "callQualityMonitoring", "cameraAccess", "chat", "chatDownload",
    "highlightActiveSpeaker", "leaveButton", "localization", "lowData", "precallCeremony", "precallReview",
    "screenshare", "subgridLabels", "timer", "toolbarText", "topToolbar",
]  # fmt: skip
ONLY_OFF = [
    "aec", "agc", "audio", "background", "locking", "logo", "moreButton", "participantCount", "people", "pipButton",
    "settingsButton", "video",
]  # fmt: skip
ONLY_ON = ["precallCeremonyCanSkip", "roomIntegrations"]
BARE = ["autoSpotlight", "floatSelf", "minimal", "skipMediaPermissionPrompt", "toolbarDarkText"]
TEXTS = {
    "displayName": ("Zoë & Bo + 1/2 100%?#=", "Zo%C3%AB%20%26%20Bo%20%2B%201%2F2%20100%25%3F%23%3D"),
    "lang": ("nb", "nb"),
    "externalId": ("Ab-9_", "Ab-9_"),
    "metadata": ('{"a": "b&c"}', "%7B%22a%22%3A%20%22b%26c%22%7D"),
    "avatarUrl": ("https://a.example/x.png", "https%3A%2F%2Fa.example%2Fx.png"),
    "cameraEffect": ("slight-blur", "slight-blur"),
    "virtualBackgroundUrl": ("https://a.example/bg.jpg?v=1", "https%3A%2F%2Fa.example%2Fbg.jpg%3Fv%3D1"),
}
HELP_LINKS = ["precallPermissionHelpLink", "precallPermissionsHelpLink"]
OTHERS = ["groups", "autoHideSelfView"]


def keyword(name: str) -> str:
    return re.sub("([A-Z])", lambda match: f"_{match[1].lower()}", name)


def link(room_url: Any = PLAIN, **parameters: Any) -> str:
    return room_link(room_url, **parameters)


def test_all_47_documented_parameters_have_a_keyword() -> None:
    """Under Whereby's own name in snake_case, all of them optional; one has two names."""
    names = [*ON_OR_OFF, *ONLY_OFF, *ONLY_ON, *BARE, *TEXTS, *OTHERS, *HELP_LINKS]
    parameters = dict(inspect.signature(room_link).parameters)
    assert parameters.pop("room_url").kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert parameters.pop("extra").default is None
    assert {keyword(name) for name in names} == parameters.keys()
    assert len(names) == len(parameters) == 47 + 1
    assert {parameter.default for parameter in parameters.values()} == {None}
    told = inspect.getdoc(room_link) or ""
    assert [name for name in parameters if f"    {name}: " not in told] == []


@pytest.mark.parametrize("name", ON_OR_OFF)
def test_switches_are_spelled_on_and_off(name: str) -> None:
    for value, word in ((True, "on"), (False, "off"), ("on", "on"), ("off", "off")):
        assert link(**{keyword(name): value}) == f"{PLAIN}?{name}={word}"


@pytest.mark.parametrize("name", [*ONLY_OFF, *ONLY_ON, *BARE])
def test_a_switch_with_one_documented_word_knows_the_other_as_the_default(name: str) -> None:
    """The documented word is written; the other takes the parameter off the link."""
    word, value = {**dict.fromkeys(ONLY_OFF, ("=off", False)), **dict.fromkeys(ONLY_ON, ("=on", True))}.get(
        name, ("", True)
    )
    assert link(**{keyword(name): value}) == f"{PLAIN}?{name}{word}"
    assert link(**{keyword(name): not value}) == PLAIN
    assert link(f"{HOST}&{name}{word}&a=b", **{keyword(name): not value}) == f"{HOST}&a=b"


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_percent_encoded(name: str) -> None:
    text, encoded = TEXTS[name]
    made = link(HOST, **{keyword(name): text})
    assert made == f"{HOST}&{name}={encoded}"
    assert dict(parse_qsl(urlsplit(made).query))[name] == text


@pytest.mark.parametrize("name", HELP_LINKS)
def test_the_help_link_is_written_in_the_spelling_of_the_docs_and_in_that_of_the_sdks(name: str) -> None:
    """Whichever keyword and whichever spelling the link carries, neither is doubled and neither keeps an old value."""
    address, encoded = "https://a.example/?a=b&c", "https%3A%2F%2Fa.example%2F%3Fa%3Db%26c"
    docs, sdks = (f"{spelling}={encoded}" for spelling in HELP_LINKS)
    assert link(HOST, **{keyword(name): address}) == f"{HOST}&{docs}&{sdks}"
    assert link(PLAIN + f"?{HELP_LINKS[1]}=x&a=b", **{keyword(name): address}) == f"{PLAIN}?{sdks}&a=b&{docs}"
    assert link(**{keyword(each): address for each in HELP_LINKS}) == f"{PLAIN}?{docs}&{sdks}"
    both = f"{PLAIN}?{HELP_LINKS[0]}=y&{HELP_LINKS[1]}=y"
    for spelling in HELP_LINKS:
        assert link(**{keyword(name): address}, extra={spelling: "y"}) == both
    made = link(PLAIN + f"?{HELP_LINKS[1]}=x", extra={HELP_LINKS[0]: "y"})
    assert made == f"{PLAIN}?{HELP_LINKS[1]}=y&{HELP_LINKS[0]}=y"
    assert link(extra={HELP_LINKS[0]: "x", HELP_LINKS[1]: "y"}) == f"{PLAIN}?{HELP_LINKS[0]}=x&{HELP_LINKS[1]}=y"
    assert link(extra={HELP_LINKS[0]: None, HELP_LINKS[1]: "y"}) == f"{PLAIN}?{HELP_LINKS[1]}=y"


def test_groups_are_a_comma_list() -> None:
    assert link(groups=["Orange", "Red & blue", "Ø"]) == f"{PLAIN}?groups=Orange,Red%20%26%20blue,%C3%98"
    assert link(groups=(name for name in ("a", "b"))) == f"{PLAIN}?groups=a,b"
    assert link(groups=[str(number) for number in range(20)]).count(",") == 19


def test_a_uuid_is_an_external_id() -> None:
    id_ = UUID(int=7)
    assert link(external_id=id_) == f"{PLAIN}?externalId={id_}"


def test_languages_are_those_of_the_docs() -> None:
    """In any case; Japanese has a spelling of its own, and `extra` takes those to come."""
    assert len(ROOM_LANGUAGES) == 18
    for language in ROOM_LANGUAGES:
        assert link(lang=language) == link(lang=language.upper()) == f"{PLAIN}?lang={language}"
    assert link(extra={"lang": "ko"}) == f"{PLAIN}?lang=ko"
    with pytest.raises(ValueError, match="Japanese 'jp'"):
        link(lang="ja")


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("Dr: O'Brien", "Dr O'Brien"),
        ("Smith;John", "Smith John"),
        ("Bo <bo@example.com>!", "Bo bo@example.com"),
        ("$!<a>:;", "a"),
        ("  Ada\t\n Lovelace\u3000 ", "Ada Lovelace"),
        ("A\x00da\x7f \x1b[31m", "A da [31m"),
        ("a" * 101, "a" * 100),
        ("a" * 99 + " b", "a" * 99),
        ("😀" * 51, "😀" * 50),
        ("a" * 99 + "😀", "a" * 99),
        ("a" * 99 + "e\u0301\u0323", "a" * 99),
        ("a" * 98 + "e\u0301", "a" * 98 + "e\u0301"),
        ("Zo\u200b\u202e \u2066Bo\ufeff", "Zo Bo"),
        ("\U0001f468\u200d\U0001f680 نیم\u200cفاصله", "\U0001f468\u200d\U0001f680 نیم\u200cفاصله"),
        ("a" * 94 + "👩\u200d👩\u200d👧", "a" * 94),
        ("a" * 98 + "👍🏽", "a" * 98),
        ("a" * 99 + "❤\ufe0f", "a" * 99),
    ],
)
def test_names_out_of_a_database_are_cleaned(name: str, cleaned: str) -> None:
    """What Whereby refuses becomes a space, and what is too long for a browser is cut behind a whole character."""
    assert dict(parse_qsl(urlsplit(link(HOST, display_name=name)).query))["displayName"] == cleaned


@pytest.mark.parametrize(
    "parameters",
    [
        *({"display_name": name} for name in ("", " \t", "\u200b", "$!<>:;", "\u0301" * 101)),
        *({keyword(name): empty} for name in [*TEXTS, *HELP_LINKS] for empty in ("", " ")),
        {"groups": []},
        {"groups": iter(())},
    ],
)
def test_empty_values_are_left_out(parameters: dict[str, Any]) -> None:
    """As `None` is: what the link carries already stays."""
    carried = f"{HOST}&{'&'.join(f'{name}=x' for name in [*TEXTS, *HELP_LINKS, 'groups'])}"
    assert link(HOST, **parameters) == HOST
    assert link(carried, **parameters) == carried


def test_nothing_to_say_leaves_the_link_as_it_is() -> None:
    odd = f"{HOST}&&a=b+c&A=%41&a=b#x?y"
    assert link(odd) == f"{HOST}&a=b+c&A=%41&a=b#x?y"
    assert link(HOST, display_name=None, extra={}) == HOST
    assert type(link(HOST)) is str
    assert link("https://EXAMPLE.whereby.com:443/a/b?") == "https://EXAMPLE.whereby.com:443/a/b"


def test_what_the_link_carries_stays() -> None:
    """The room key whole and first, others in order, the fragment at the end."""
    made = link(f"{HOST}&a=1%2C2&b#top", display_name="Bo", minimal=True, audio=False)
    assert made == f"{HOST}&a=1%2C2&b&displayName=Bo&audio=off&minimal#top"
    assert link(f"{PLAIN}#top", chat=False) == f"{PLAIN}?chat=off#top"
    assert link(f"{PLAIN}?", chat=False) == f"{PLAIN}?chat=off"


def test_a_parameter_on_the_link_is_replaced_where_it_stands() -> None:
    """Never doubled, however it was spelled; making a link twice is making it once."""
    assert link(f"{PLAIN}?lang=en&{KEY}&lang=fr", lang="de") == f"{PLAIN}?lang=de&{KEY}"
    assert link(f"{PLAIN}?displ%61yName=A+B&{KEY}", display_name="C") == f"{PLAIN}?displayName=C&{KEY}"
    once = link(HOST, display_name="A", chat=False, float_self=True, groups=["x"])
    assert link(once, display_name="A", chat=False, float_self=True, groups=["x"]) == once


def test_extra_takes_what_this_version_does_not_know() -> None:
    extra: dict[str, Any] = {"reactions": False, "x y": "1&2", "n": 5, "flag": "", "list": ["a", "b c"], "no": None}
    assert link(HOST, extra=extra) == f"{HOST}&reactions=off&x%20y=1%262&n=5&flag&list=a,b%20c"
    assert link(display_name="a", extra={"displayName": "$"}) == f"{PLAIN}?displayName=%24"
    assert link(extra={"lang": "ja"}) == f"{PLAIN}?lang=ja"
    assert link(extra={"autoHideSelfView": ""}) == f"{PLAIN}?autoHideSelfView"


def test_the_own_view_hides_only_where_it_floats() -> None:
    """The docs say that one needs the other: it may stand on the link already, or in `extra`."""
    assert link(auto_hide_self_view=True, float_self=True) == f"{PLAIN}?autoHideSelfView&floatSelf"
    assert link(f"{PLAIN}?floatSelf", auto_hide_self_view=True) == f"{PLAIN}?floatSelf&autoHideSelfView"
    assert link(auto_hide_self_view=True, extra={"floatSelf": ""}) == f"{PLAIN}?autoHideSelfView&floatSelf"
    assert link(auto_hide_self_view=False) == PLAIN


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"display_name": "\ud800"}, "surrogate"),
        ({"external_id": "a" * 37}, "up to 36"),
        ({"external_id": "a.b"}, "a.b"),
        ({"external_id": "é"}, "A-Z"),
        ({"external_id": "a\n"}, "up to 36"),
        ({"lang": "klingon"}, "lang='klingon': pass one of cs, zh-hant"),
        ({"lang": "pt-BR"}, "extra= takes it unchecked"),
        ({"camera_effect": "image-moon"}, "image-cabin"),
        ({"groups": [str(number) for number in range(21)]}, "21 names"),
        ({"groups": ["a,b"]}, "comma"),
        ({"groups": ["a", ""]}, "blank"),
        ({"avatar_url": "http://a.example/x.png"}, "https"),
        ({"avatar_url": "https://a.example/x.png?size=64"}, "query"),
        ({"avatar_url": "https://a.example/x.png#x"}, "query"),
        ({"avatar_url": "/x.png"}, "whole https URL"),
        ({"avatar_url": "https://[x/"}, "whole https URL"),
        ({"virtual_background_url": "javascript:alert(1)"}, "https or http"),
        ({"virtual_background_url": "https://a.example/x y"}, "https or http"),
        ({"precall_permission_help_link": "https:///help"}, "https or http"),
        ({"precall_permissions_help_link": "help"}, "precall_permissions_help_link='help'"),
        (
            {"precall_permission_help_link": "https://a.b", "precall_permissions_help_link": "https://a.c"},
            "pass one of them",
        ),
        ({"audio": "yes"}, "True or False"),
        ({"chat": ""}, "True or False"),
        ({"auto_hide_self_view": True}, "float_self=True"),
        ({"auto_hide_self_view": True, "float_self": False}, "float_self=True"),
        ({"audio_denoiser": True, "aec": False}, "aec=False"),
        ({"audio_denoiser": True, "agc": False}, "agc=False"),
        ({"call_quality_monitoring": True, "top_toolbar": False}, "top_toolbar=False"),
        ({"precall_ceremony": True, "precall_review": False}, "precall_review=False"),
        ({"precall_ceremony_can_skip": True, "precall_review": False}, "precall_review=False"),
        ({"extra": {"": "x"}}, "key"),
        ({"extra": {"\ud800": "x"}}, "surrogate"),
        ({"extra": {"a": "\ud800"}}, "surrogate"),
    ],
)
def test_values_that_whereby_would_refuse_are_refused(parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        link(HOST, **parameters)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "parameters",
    [
        {"display_name": 5},
        {"lang": True},
        {"groups": "a,b"},
        {"groups": {"a": "b"}},
        {"groups": 5},
        {"groups": ["a", 5]},
        {"chat": 1},
        {"minimal": object()},
        {"external_id": 5},
        {"extra": [("a", "b")]},
        {"extra": {5: "a"}},
        {"extra": {"a": object()}},
        {"extra": {"a": b"b"}},
    ],
)
def test_values_of_another_type_are_type_errors(parameters: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(parameters))):
        link(HOST, **parameters)


@pytest.mark.parametrize(
    ("room_url", "told"),
    [
        (f"http://example.whereby.com/r?{KEY}", "plain http"),
        ("/r", "room's name"),
        ("", "no address"),
        ("example.whereby.com/r", "no address"),
        (f"https://whereby.com/r?{KEY}", "no address"),
        (f"https://example.whereby.com.evil.example/r?{KEY}", "no address"),
        (f"https://evil.example/.whereby.com/r?{KEY}", "no address"),
        (f"https://evil.example\\.whereby.com/r?{KEY}", "no address"),
        (f"https://user:password@example.whereby.com/r?{KEY}", "no address"),
        (f"https://example.whereby.com:8443/r?{KEY}", "no address"),
        (f"https://a.b.whereby.com/r?{KEY}", "no address"),
        (f"https://-a.whereby.com/r?{KEY}", "no address"),
        (f"{HOST}\n", "no address"),
        (f"https://example.whereby.com/r r?{KEY}", "no address"),
        (f"https://example.whereby.com/?{KEY}", "names no room"),
        ("https://example.whereby.com", "no address"),
        (f"{HOST}?displayName=Bo", "second '\\?'"),
        (f"{PLAIN}?displayName=Bo?{KEY}", "second '\\?'"),
    ],
)
def test_what_is_no_link_into_a_room_is_refused(room_url: str, told: str) -> None:
    """Whereby takes its parameters at `https://<subdomain>.whereby.com/<room>` only; the key never shows."""
    with pytest.raises(ValueError, match=told) as caught:
        link(room_url)
    told_with_locals = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = [
        frame for frame in told_with_locals.stack if "room_links" in frame.filename and "test" not in frame.filename
    ]
    assert frames
    for shown in (str(caught.value), *(str(frame.locals) for frame in frames)):
        assert KEY not in shown
        assert "password" not in shown


@pytest.mark.parametrize("room_url", [None, 5, b"https://example.whereby.com/r"])
def test_what_is_no_text_is_a_type_error(room_url: Any) -> None:
    """`None` is a host link that was not asked for, and the text says so."""
    with pytest.raises(TypeError, match="host_room_url") as caught:
        link(room_url)
    assert ("fields=" in str(caught.value)) == (room_url is None)


def test_another_room_key_is_refused() -> None:
    """A link stays the host's or the viewer's that it is; one without a key can be given one."""
    assert link(extra={"roomKey": "a.b"}) == f"{PLAIN}?roomKey=a.b"
    assert link(f"{PLAIN}?roomKey=a.b", extra={"roomKey": "a.b"}) == f"{PLAIN}?roomKey=a.b"
    with pytest.raises(ValueError, match="another one") as caught:
        link(HOST, extra={"roomKey": "planted"})
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown = "".join(str(frame.locals) for frame in told.stack if "whereby_async/room_links" in frame.filename)
    assert shown
    assert "planted" not in shown
    assert KEY[:12] not in shown


@given(
    carried=st.lists(
        st.tuples(st.sampled_from(["a", "lang", "displayName", "roomKey"]), st.text("ab%+ é", max_size=5))
    ),
    name=st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("$: e\u0301\u200d😀"), max_size=150),
)
def test_any_name_joins_any_link(carried: list[tuple[str, str]], name: str) -> None:
    """What a browser reads back: the name once, as Whereby takes it, and all that the link carried, in order."""
    from urllib.parse import urlencode

    room_url = f"{PLAIN}?{urlencode(carried)}"
    read = parse_qsl(urlsplit(room_link(room_url, display_name=name)).query, keep_blank_values=True)
    names = [value for key, value in read if key == "displayName"]
    shown = dict(parse_qsl(urlsplit(room_link(PLAIN, display_name=name)).query)).get("displayName")
    assert names == ([shown] if shown else [value for key, value in carried if key == "displayName"])
    shown = shown or ""
    assert not set(shown) & set("$!<>:;")
    assert len(shown.encode("utf-16-le")) <= 200
    assert room_link(PLAIN, display_name=shown) == room_link(PLAIN, display_name=name)
    if len(name) <= 50 and not set(name) & {*"$!<>:;", *map(chr, (*range(32), *range(127, 160)))}:
        assert shown == " ".join(name.split())
    assert [pair for pair in read if pair[0] != "displayName"] == [pair for pair in carried if pair[0] != "displayName"]


def test_the_camera_effects_are_those_of_the_docs() -> None:
    assert len(CAMERA_EFFECTS) == 8
    for effect in CAMERA_EFFECTS:
        assert link(camera_effect=effect).endswith(f"?cameraEffect={effect}")
