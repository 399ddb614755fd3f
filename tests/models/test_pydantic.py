"""The Structs as types of pydantic, of FastAPI and of Litestar, and that nothing that fails there shows a key."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
import typing
from datetime import UTC, datetime
from typing import Annotated, Any, Optional

import msgspec
import pytest
from fastapi import Body, FastAPI
from fastapi.exceptions import ResponseValidationError
from litestar import Litestar, get
from msgspec import inspect
from pydantic import BaseModel, TypeAdapter, ValidationError, create_model, validate_call

from whereby_async import WherebyClient, models, webhooks
from whereby_async.models import (
    AccessLink,
    DialIn,
    Meeting,
    Model,
    Page,
    Recording,
    RecordingDestination,
    RecordingOptions,
    Summary,
)
from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio

PLANTED = "planted-secret"
LINK = f"https://a.whereby.com/r?roomKey={PLANTED}"
UNTIL = datetime(2025, 1, 1, 12, 30, tzinfo=UTC)
MEETING = Meeting(meeting_id="1", host_room_url=LINK, end_date=UNTIL, dial_in=DialIn(code=PLANTED))
WIRE = msgspec.to_builtins(MEETING)
PAGE: Any = Page
STRUCTS: list[Any] = [
    kind
    for kind in (getattr(module, name) for module in (models, webhooks) for name in module.__all__)
    if isinstance(kind, type) and issubclass(kind, Model)
]
KINDS: list[Any] = [
    *STRUCTS,
    *(PAGE[kind] for kind in STRUCTS if kind is not Page and "models" in kind.__module__),
    Page[Any],
    Page[int | str],
]


SAMPLES: dict[Any, Any] = {
    inspect.DateTimeType: "2025-01-01T12:30:00.250000Z",
    inspect.StrType: "text",
    inspect.BoolType: True,
    inspect.AnyType: {"rows": [None, 1, "text"]},
}


def sample(info: Any) -> Any:
    """Some JSON that is of a type."""
    match info:
        case inspect.StructType():
            tag = {} if info.tag_field is None else {info.tag_field: info.tag}
            return {**tag, **{field.encode_name: sample(field.type) for field in info.fields}}
        case inspect.UnionType():
            return sample(next(each for each in info.types if not isinstance(each, inspect.NoneType)))
        case inspect.ListType() | inspect.VarTupleType():
            return [sample(info.item_type)]
        case inspect.DictType():
            return {"text": sample(info.value_type)}
        case inspect.LiteralType():
            return info.values[0]
        case _:
            return SAMPLES.get(type(info), 1)


def full(kind: Any) -> Any:
    return msgspec.convert(sample(inspect.type_info(kind)), kind)


def least(kind: Any) -> Any:
    tag_field = getattr(kind, "__origin__", kind).__struct_config__.tag_field
    needed = {tag_field, *(field.encode_name for field in msgspec.structs.fields(kind) if field.required)}
    return msgspec.convert(
        {name: each for name, each in msgspec.to_builtins(full(kind)).items() if name in needed}, kind
    )


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("make", [full, least])
def test_every_struct_goes_in_and_comes_out_as_msgspec_has_it(kind: Any, make: Any) -> None:
    """An instance is taken as it is, what comes out is spelled as on the wire, and that goes in again."""
    adapter, struct = TypeAdapter[Any](kind), make(kind)
    wire = msgspec.json.encode(struct)
    assert adapter.validate_python(struct) is struct
    assert json.loads(adapter.dump_json(struct)) == adapter.dump_python(struct, mode="json") == json.loads(wire)
    assert adapter.validate_json(wire) == adapter.validate_python(json.loads(wire)) == struct
    assert adapter.validate_python(adapter.dump_python(struct)) == struct


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_struct_has_a_schema(kind: Any) -> None:
    """The same for what goes in and for what comes out, with the fields as msgspec names them; each is explained."""
    schema = TypeAdapter[Any](kind).json_schema()
    assert schema == TypeAdapter[Any](kind).json_schema(mode="serialization")
    (reference,), components = msgspec.json.schema_components([kind], ref_template="{name}")
    own = components[reference["$ref"]]
    assert schema["properties"].keys() == own["properties"].keys()
    assert sorted(schema.get("required", [])) == sorted(own.get("required", []))
    for each in (schema, *schema.get("$defs", {}).values()):
        assert "Attributes:" not in each["description"]
        untold = {name for name, what in each["properties"].items() if not what.get("description")}
        assert untold <= {"type", "data"}  # of events, whose docstrings tell of them by the way


class Booking(BaseModel):
    """A model of a user's own."""

    meeting: Meeting
    earlier: Meeting | None = None
    page: Page[Meeting] | None = None
    either: Recording | Meeting | None = None
    some: Optional[list[AccessLink]] = None  # noqa: UP045 - the older spelling


def test_fields_of_a_pydantic_model() -> None:
    booking = Booking(
        meeting=MEETING,
        page=Page(results=[MEETING]),
        either=MEETING,
        some=[AccessLink(access_link=LINK, expires=UNTIL)],
    )
    assert booking.meeting is booking.either is MEETING
    dumped = booking.model_dump()
    assert dumped["meeting"]["endDate"] == UNTIL
    assert dumped == booking.model_dump(by_alias=True) == booking.model_dump(by_alias=False, exclude_unset=False)
    assert Booking(**dumped) == Booking.model_validate_json(booking.model_dump_json()) == booking
    assert Booking.model_validate(json.loads(booking.model_dump_json())) == booking
    assert booking.model_copy(deep=True) == pickle.loads(pickle.dumps(booking)) == copy.deepcopy(booking) == booking
    assert PLANTED not in repr(booking)


def test_what_of_a_dump_can_be_left_out() -> None:
    """`None`, and fields by their names on the wire; what is `UNSET` always is."""
    booking = Booking(meeting=MEETING)
    short = {"meetingId": "1", "hostRoomUrl": LINK, "endDate": "2025-01-01T12:30:00Z", "dialIn": {"code": PLANTED}}
    assert json.loads(booking.model_dump_json(exclude_none=True)) == {"meeting": short}
    assert booking.model_dump(exclude={"meeting": {"hostRoomUrl", "dialIn"}}, exclude_none=True, mode="json") == {
        "meeting": {"meetingId": "1", "endDate": "2025-01-01T12:30:00Z"}
    }
    assert booking.model_dump(include={"meeting": {"meetingId"}}) == {"meeting": {"meetingId": "1"}}
    rows = TypeAdapter(list[Meeting]).dump_python([MEETING], include={"__all__": {"meetingId"}})
    assert rows == [{"meetingId": "1"}]
    summary = Summary(summary_id="1", summary={"summary": "text", "unknown": [None, {"a": None}]})
    assert TypeAdapter(Summary).dump_python(summary, exclude_none=True) == {
        "summaryId": "1",
        "summary": {"summary": "text", "unknown": [None, {"a": None}]},
    }
    options = RecordingOptions(type="cloud", start_trigger=None)
    assert TypeAdapter(RecordingOptions).dump_python(options) == {"type": "cloud", "startTrigger": None}


NOT_TEXT: Any = {"accessKeySecret": PLANTED}
WRONG: list[tuple[Any, Any, tuple[str | int, ...], str]] = [
    (Meeting, {"hostRoomUrl": LINK}, (), "Object missing required field `meetingId`"),
    (Meeting, {"meeting_id": LINK}, (), "Object missing required field `meetingId`"),
    (Meeting, {**WIRE, "meetingId": 5}, ("meetingId",), "Expected `str`, got `int`"),
    (Meeting, {**WIRE, "dialIn": {"code": [PLANTED]}}, ("dialIn", "code"), "Expected `str | null`, got `array`"),
    (Meeting, {**WIRE, "endDate": LINK}, ("endDate",), "Invalid RFC3339 encoded datetime"),
    (Meeting, {**WIRE, "endDate": datetime(2025, 1, 1)}, ("endDate",), "timezone"),  # noqa: DTZ001 - the point of it
    (Meeting, LINK, (), "Expected `object`, got `str`"),
    (Meeting, [LINK], (), "Expected `object`, got `array`"),
    (Meeting, AccessLink(access_link=LINK), (), "Expected `object`, got `AccessLink`"),
    (Page[Meeting], {"results": [WIRE, {"hostRoomUrl": LINK}]}, ("results", 1), "missing required field `meetingId`"),
    (Page[Meeting], [WIRE], (), "Expected `object`, got `array`"),
    (list[Meeting], [WIRE, {"hostRoomUrl": LINK}], (1,), "missing required field `meetingId`"),
    (AccessLink, {"accessLink": {PLANTED: LINK}}, ("accessLink",), "Expected `str`, got `object`"),
    (Summary, {"summaryId": "1", "summary": {5: LINK}}, (), "Expected `str`, got `int` - at `key` in `$.summary`"),
    (
        RecordingOptions,
        {"destination": {"accessKeySecret": 5, "x": PLANTED}},
        ("destination", "accessKeySecret"),
        "Exp",
    ),
]


@pytest.mark.parametrize(("kind", "value", "where", "what"), WRONG)
def test_errors_say_where_and_never_what(kind: Any, value: Any, where: tuple[str | int, ...], what: str) -> None:
    """As the type itself, as a field, and in functions whose arguments pydantic checks."""
    outer: Any = create_model("Outer", field=(kind, ...))

    def function(field: Any) -> None: ...

    function.__annotations__["field"] = kind
    for attempt, above in (
        (lambda: TypeAdapter(kind).validate_python(value), ()),
        (lambda: outer(field=value), ("field",)),
        (lambda: validate_call(function)(field=value), ("field",)),
    ):
        with pytest.raises(ValidationError) as caught:
            attempt()
        (error,) = caught.value.errors()
        assert error["loc"] == (*above, *where)
        assert what in error["msg"]
        assert error["input"] == "***"
        lines = traceback.TracebackException.from_exception(caught.value).format()
        for shown in (str(caught.value), repr(caught.value), caught.value.json(), repr(caught.value.errors()), *lines):
            assert PLANTED not in shown


def test_errors_of_a_union_and_of_json_hide_as_well() -> None:
    for attempt in (
        lambda: Booking.model_validate({"meeting": MEETING, "either": {"hostRoomUrl": LINK}}),
        lambda: Booking.model_validate({"meeting": MEETING, "earlier": {"hostRoomUrl": LINK}}),
        lambda: TypeAdapter(Meeting).validate_json(json.dumps({"hostRoomUrl": LINK})),
        lambda: TypeAdapter(Page[Meeting]).validate_json(json.dumps({"results": {"hostRoomUrl": LINK}})),
        lambda: TypeAdapter(dict[str, Meeting]).validate_python({"a": {"hostRoomUrl": LINK}}),
    ):
        with pytest.raises(ValidationError) as caught:
            attempt()
        for shown in (str(caught.value), repr(caught.value), caught.value.json(), repr(caught.value.errors())):
            assert PLANTED not in shown


async def test_a_call_that_was_not_awaited_is_told() -> None:
    async with FakeWhereby() as fake, fake.client() as whereby:
        call = whereby.meetings.get("1")
        for forgotten, kind in ((call, Meeting), (whereby.meetings.list(), Page[Meeting])):
            with pytest.raises(ValidationError, match="was not awaited: write `await` before it"):
                TypeAdapter[Any](kind).validate_python(forgotten)
        call.close()


def test_a_struct_of_a_users_own_is_a_type_too() -> None:
    """A subclass stands for what it is derived from, and one without a docstring has a schema as well."""

    class Shown(Meeting, frozen=True, kw_only=True):
        colour: str | None = None

    class Shows(Page[Shown], frozen=True, kw_only=True):
        pass

    shown = Shown(meeting_id="1", colour="red")
    assert TypeAdapter(Meeting).validate_python(shown) is shown
    page = TypeAdapter(Shows).validate_python({"results": [{"meetingId": "1", "colour": "red"}]})
    assert page == Shows(results=[shown])
    assert "colour" in TypeAdapter(Shows).json_schema()["$defs"]["Shown"]["properties"]


def test_the_hook_changes_nothing_for_others() -> None:
    """Hints resolve, and the method is pydantic's alone."""
    hints = typing.get_type_hints(Meeting.__get_pydantic_core_schema__)
    assert hints == {"source": Any, "handler": Any, "return": Any}
    assert typing.get_type_hints(Meeting).keys() >= {*Meeting.__struct_fields__}
    assert "__get_pydantic_core_schema__" not in WIRE


# Web frameworks


async def ask(app: Any, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """The status and the JSON that an ASGI application answers."""
    sent: list[Any] = []
    asked = [{"type": "http.request", "body": b"" if body is None else json.dumps(body).encode(), "more_body": False}]

    async def receive() -> Any:
        return asked.pop() if asked else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = dict[str, Any](
        type="http", asgi={"version": "3.0"}, http_version="1.1", scheme="http", root_path="", state={}
    )
    scope |= {"method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "client": ("::1", 1)}
    scope |= {"headers": [(b"host", b"x"), (b"content-type", b"application/json")], "server": ("x", 80)}
    await app(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(each.get("body", b"") for each in sent[1:]))


def no_recordings() -> Page[Recording]:
    return Page(results=[])


def no_meeting() -> Meeting | None:
    return None


def a_booking() -> Booking:
    return Booking(meeting=MEETING)


def wrong_answer() -> Any:
    return {"hostRoomUrl": LINK}


def options(options: Annotated[RecordingOptions, Body()]) -> RecordingOptions:
    return options


def fastapi_app(whereby: WherebyClient) -> FastAPI:
    async def one() -> Meeting:
        return await whereby.meetings.create(end_date=UNTIL.replace(year=2099), fields=["hostRoomUrl"])

    async def every() -> list[Meeting]:
        return await whereby.meetings.list().collect()

    async def page() -> Page[Meeting]:
        return await whereby.meetings.list(page_size=1)

    app = FastAPI()
    app.get("/one")(one)
    app.get("/short", response_model_exclude_none=True, response_model_exclude={"hostRoomUrl"})(one)
    app.get("/all")(every)
    app.get("/page")(page)
    app.get("/recordings")(no_recordings)
    app.get("/perhaps")(no_meeting)
    app.get("/booking")(a_booking)
    app.get("/wrong", response_model=Meeting)(wrong_answer)
    app.post("/options")(options)
    return app


async def test_fastapi_answers_with_results() -> None:
    async with FakeWhereby() as fake, fake.client() as whereby:
        app = fastapi_app(whereby)
        status, one = await ask(app, "GET", "/one")
        assert (status, one.keys()) == (200, {*Meeting.__struct_encode_fields__})
        assert "roomKey=" in one["hostRoomUrl"]
        assert (await ask(app, "GET", "/short"))[1].keys() == {
            *("meetingId", "roomUrl", "roomName", "startDate", "endDate")
        }
        status, every = await ask(app, "GET", "/all")
        assert [each["meetingId"] for each in every] == list(fake.meetings)
        _, page = await ask(app, "GET", "/page")
        assert page == {"results": every[:1], "cursor": page["cursor"], "unreadable": []}
        assert page["cursor"]
        assert await ask(app, "GET", "/perhaps") == (200, None)
        assert (await ask(app, "GET", "/booking"))[1]["meeting"] == WIRE


async def test_fastapi_takes_a_struct_as_a_body_and_hides_what_is_wrong_with_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = fastapi_app(WherebyClient("key"))
    body = {"type": "cloud", "destination": {"accessKeySecret": PLANTED}}
    assert await ask(app, "POST", "/options", body) == (200, body)
    status, answer = await ask(app, "POST", "/options", {**body, "type": 5})
    assert status == 422
    assert answer["detail"] == [
        {"type": "whereby_value", "loc": ["body", "type"], "msg": "Expected `str`, got `int`", "input": "***"}
    ]
    with pytest.raises(ResponseValidationError) as caught:
        await ask(app, "GET", "/wrong")
    assert PLANTED not in f"{caught.value} {caught.value!r} {caught.value.errors()} {caplog.text}"


async def test_the_schema_page_of_fastapi_explains_the_structs() -> None:
    """Each Struct is there once, under its own name, for requests and answers alike."""
    status, page = await ask(fastapi_app(WherebyClient("key")), "GET", "/openapi.json")
    assert status == 200
    schemas = page["components"]["schemas"]
    assert {name for name in schemas if "Error" not in name} == {
        *("Meeting", "DialIn", "DialInPhoneNumber", "MeetingRoomPreferences", "Booking", "AccessLink", "Recording"),
        *("Page_Meeting_", "Page_Recording_", "UnreadableValue", "RecordingOptions", "RecordingDestination"),
    }
    meeting = schemas["Meeting"]
    assert meeting["description"] == "A meeting and its room. Whereby REST API reference, Meetings."
    assert meeting["properties"]["meetingId"] == {
        "type": "string",
        "title": "Meeting id",
        "description": "The meeting's id: digits in practice, but text.",
    }
    answer = page["paths"]["/all"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["items"] == {"$ref": "#/components/schemas/Meeting"}


async def test_a_model_of_the_same_name_does_not_clash() -> None:
    theirs: Any = type("Meeting", (BaseModel,), {"__module__": "theirs", "__annotations__": {"colour": str}})
    app = FastAPI()
    app.get("/ours", response_model=Meeting)(lambda: MEETING)
    app.get("/theirs", response_model=theirs)(lambda: None)
    schemas = (await ask(app, "GET", "/openapi.json"))[1]["components"]["schemas"]
    assert {name for name in schemas if name.endswith("Meeting")} == {
        *("whereby_async__models__meetings__Meeting", "theirs__Meeting"),
    }


async def test_litestar_answers_as_msgspec_does() -> None:
    @get("/one")
    async def one() -> Meeting:
        return MEETING

    @get("/page")
    async def page() -> Page[Meeting]:
        return Page(results=[MEETING])

    app = Litestar([one, page])
    assert await ask(app, "GET", "/one") == (200, WIRE)
    assert await ask(app, "GET", "/page") == (200, {"results": [WIRE], "cursor": None, "unreadable": []})
    _, schema = await ask(app, "GET", "/schema/openapi.json")
    assert schema["components"]["schemas"]["Meeting"]["properties"].keys() == WIRE.keys()


@pytest.mark.parametrize("kind", [Page, Page[Any]])
def test_a_page_of_anything(kind: Any) -> None:
    page = TypeAdapter[Any](kind).dump_python(Page(results=[MEETING, {"endDate": UNTIL}, None]))
    assert page["results"] == [msgspec.to_builtins(MEETING, builtin_types=(datetime,)), {"endDate": UNTIL}, None]
    assert json.loads(TypeAdapter[Any](kind).dump_json(Page(results=[MEETING])))["results"] == [WIRE]


@pytest.mark.parametrize(
    "struct",
    [
        Meeting(meeting_id="1", host_room_url=NOT_TEXT),
        Meeting(meeting_id="1", dial_in=DialIn(code=NOT_TEXT)),
        AccessLink(access_link=NOT_TEXT),
        RecordingOptions(destination=RecordingDestination(access_key_secret=NOT_TEXT)),
        RecordingOptions(destination=NOT_TEXT),
    ],
)
def test_no_warning_shows_a_secret_that_is_no_text(struct: Model) -> None:
    """What a test or a program has put in the place of a link is written as it is; warnings are errors here."""
    assert PLANTED in TypeAdapter(type(struct)).dump_json(struct).decode()


@pytest.mark.parametrize("kind", webhooks.Event.__args__)
def test_events_of_webhooks_are_told_apart(kind: Any) -> None:
    """As a field of a message in somebody's queue, say."""
    message = create_model("Message", event=(webhooks.Event, ...))
    event = full(kind)
    again = message.model_validate_json(message(event=event).model_dump_json())
    assert again.model_dump()["event"]["type"] == event.type
    assert type(vars(again)["event"]) is kind


@pytest.mark.parametrize("name", ["hostRoomUrl", "host_room_url"])
def test_a_link_is_left_out_by_either_name(name: str) -> None:
    """In a Struct alone, in a list, in a page and in a model: a link that is to be left out never slips through."""
    meeting = Meeting(meeting_id="1", host_room_url="https://example.whereby.com/a?roomKey=planted")
    page = Page(results=[meeting])
    kept = {
        TypeAdapter(Meeting).dump_json(meeting, exclude={name}),
        TypeAdapter(Meeting).dump_json(meeting, exclude={name: True}),
        TypeAdapter(list[Meeting]).dump_json([meeting], exclude={"__all__": {name}}),
        TypeAdapter(Page[Meeting]).dump_json(page, exclude={"results": {"__all__": {name}}}),
    }
    assert not any(b"planted" in each for each in kept)
    assert b"planted" in TypeAdapter(Page[Meeting]).dump_json(page, exclude={"cursor"})
