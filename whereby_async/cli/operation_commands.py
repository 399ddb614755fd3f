"""The commands that are one operation each, and `wait`.

A row of `COMMANDS` says how a command is called and which columns its table has. The rest follows from the method that
the command calls: its options from the annotations of the method's keywords, its help from the docstring. A new keyword
of the method becomes an option without a change here; the tests fail if its annotation is not in `_TYPES`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from cyclopts import Parameter, validators

from .. import models, resources
from . import values
from .errors import PERHAPS, ExitCode, Interrupted, OutOfTimeError, UsageError, in_option_names, only_reads
from .global_options import Flag, GlobalOptions, Yes
from .keys import ask, can_ask, interruptible

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    import msgspec
    from cyclopts import App

    from .. import Paginator
    from ..hooks import AttemptDetails, ResponseDetails, RetryDetails
    from ..operation import Request

_OPTIONAL: Final = " | None"
_NESTED: Final = " | Mapping[str, Any]"
_ARGS: Final = re.compile(r"^    (\w+): (.*(?:\n        .*)*)", re.MULTILINE)
_MAX_ITEMS: Final = "max_items"
_YES: Final = "yes"
_DRY_RUN: Final = "dry_run"
_EXAMPLES: Final = 3
_LARGEST_PAGE: Final = 100
_HELP_WIDTH: Final = 78


class OperationCommand(NamedTuple):
    """One command.

    Attributes:
        operation: The method that it calls, such as `meetings.create`.
        examples: How it is called, after `whereby meetings create`.
        columns: What a table of its rows shows: wire names with spaces between them, the most important first.
        note: What the help says besides.
    """

    operation: str
    examples: tuple[str, ...]
    columns: str = ""
    note: str = ""

    @property
    def group(self) -> str:
        """The resource, such as `meetings`."""
        return self.operation.partition(".")[0]

    @property
    def method(self) -> Callable[..., Any]:
        """The method of the resource's class, without a client."""
        resource, _, name = self.operation.partition(".")
        found: Callable[..., Any] = getattr(getattr(resources, resource.capitalize()), name)
        return found

    @property
    def word(self) -> str:
        """The command's name in its group, such as `bulk-delete`."""
        return self.method.__name__.replace("_", "-")

    @property
    def deletes(self) -> bool:
        """Whether what it does can not be undone, so that it asks. The looks of rooms can be set again."""
        return self.word in {"delete", "bulk-delete"}


_MEETING = "107585000"
_ID = "b1f0c1a2-6f6c-4c55-9f0e"
_ONCE = "It is sent once only: if no answer comes, look before you do it again."

COMMANDS: Final = (
    OperationCommand(
        "meetings.create",
        (
            "--end-date +2h",
            "--end-date 2026-12-01T10:00:00Z --room-mode group",
            "--end-date +1h --room-name-prefix support- --field hostRoomUrl",
            "--end-date +1h --recording @bucket.json --json",
        ),
        note=_ONCE + " A nested option that holds a secret, such as the keys of a bucket, is taken from a file only.",
    ),
    OperationCommand("meetings.get", (_MEETING, f"{_MEETING} --field hostRoomUrl --json")),
    OperationCommand(
        "meetings.list",
        ("", "--name-starts-with /support --max-items 20", "--json | jq -r .meetingId"),
        "meetingId roomName endDate startDate",
    ),
    OperationCommand("meetings.delete", (_MEETING,)),
    OperationCommand("recordings.get", (_ID,)),
    OperationCommand(
        "recordings.list",
        ("", "--room-name /weekly --sort-by startDate:desc", "--json | jq -r .recordingId"),
        "recordingId roomName startDate sizeInMegaBytes filename endDate",
    ),
    OperationCommand("recordings.delete", (_ID,)),
    OperationCommand("recordings.bulk_delete", (_ID, "@ids.txt")),
    OperationCommand("recordings.access_link", (f"{_ID} --valid-for 600",)),
    OperationCommand(
        "transcriptions.create", (_ID,), note=f"{_ONCE} It takes a while: see whereby transcriptions wait."
    ),
    OperationCommand("transcriptions.get", (_ID,)),
    OperationCommand(
        "transcriptions.list",
        ("", "--room-name /weekly --sort-by durationInSeconds:desc"),
        "transcriptionId state roomName startDate durationInSeconds filename type",
    ),
    OperationCommand("transcriptions.delete", (_ID,)),
    OperationCommand("transcriptions.bulk_delete", (_ID, "@ids.txt")),
    OperationCommand("transcriptions.access_link", (_ID,)),
    OperationCommand(
        "summaries.create",
        (_ID, f"{_ID} --template SOAP"),
        note=_ONCE + " It takes about a minute: see whereby summaries wait.",
    ),
    OperationCommand("summaries.get", (_ID,)),
    OperationCommand(
        "summaries.list",
        ("", "--sort-by startDate:desc"),
        "summaryId state roomName startDate template transcriptionId",
    ),
    OperationCommand("summaries.delete", (_ID,)),
    OperationCommand("rooms.set_theme_tokens", ("/weekly --primary '#0A2540' --focus '#00A3FF'",)),
    OperationCommand("rooms.reset_theme_tokens", ("/weekly",)),
    OperationCommand("rooms.set_logo", ("/weekly logo.png",)),
    OperationCommand("rooms.reset_logo", ("/weekly",)),
    OperationCommand("rooms.set_background", ("/weekly beach.png", "/weekly --palette grey --theme mountains")),
    OperationCommand("rooms.reset_background", ("/weekly",)),
    OperationCommand("rooms.set_knock_background", ("/weekly door.png", "/weekly --palette purple")),
    OperationCommand("rooms.reset_knock_background", ("/weekly",)),
    OperationCommand(
        "insights.rooms",
        ("", "--name-starts-with /support --sort-by totalSessions:desc", "--created-from=-7d --json"),
        "roomName totalSessions totalParticipantMinutes lastSessionStartedAt totalUniqueParticipants rating createdAt",
    ),
    OperationCommand(
        "insights.room_sessions",
        ("/weekly", "/weekly --sort-by totalUniqueParticipants:desc"),
        "roomSessionId startedAt endedAt totalUniqueParticipants totalParticipantMinutes rating roomName",
    ),
    OperationCommand(
        "insights.participants",
        (f"--room-session-id {_ID}", "--external-id customer-17"),
        "participantId displayName joinedAt leftAt roleName rating roomSessionId",
    ),
    OperationCommand("insights.participant", (f"{_ID} {_ID}",)),
)
"""A row for each operation of the API and for each method that resets something."""

_JSON = "JSON in the API's spelling, or @FILE (@- for stdin)"
_OTHERWISE = "; the organisation's setting if left out."

_TEXTS: Final = {
    "end_date": "When it ends: 2026-12-01T10:00:00Z, or from now: +90m, +2h, +7d. An hour later the room is deleted.",
    "start_date": "Deprecated by the API, which ignores it: a meeting starts when it is made.",
    "is_locked": "Only hosts let people in.",
    "room_mode": "normal (up to 4 people, the API's default) or group (up to 200).",
    "room_name_pattern": "uuid (the API's default) or human-short, for the rest of the name.",
    "template_type": "viewerMode: a locked group room, answered with host and viewer link.",
    "recording": f"How it is recorded: {_JSON}{_OTHERWISE}",
    "live_transcription": f"How it is transcribed: {_JSON}{_OTHERWISE}",
    "streaming": f"Where it is streamed to: {_JSON}.",
    "room_preferences": f"What the room offers: {_JSON}.",
    "fields": "One more field to answer: hostRoomUrl, viewerRoomUrl or dialIn; once for each. The links open the room.",
    "extra": "A parameter that this version does not know: KEY=VALUE (a value that is JSON counts as such), or @FILE.",
    "page_size": "Rows a page, 1 to 100; each page is one call.",
    "cursor": "Go on from a cursor that was kept.",
    "prefetch": "Pages to read ahead.",
    "ids": "Ids; @FILE reads them from a file, one a line, and @- from stdin.",
    "image": "A file: PNG is advised; JPEG, GIF, WebP and SVG are sent too.",
    "created_from": "Only rooms made then or later: 2026-12-01T00:00:00Z, or from now, as in --created-from=-7d.",
    "created_to": "Only rooms made then or earlier.",
    "palette": "A built-in palette, in place of an image.",
    "theme": "A built-in theme, in place of an image.",
    "template": "How it is laid out; the API's default is General Bulleted.",
}
"""What the options are for, by keyword; those that are not here have the text of their method's docstring."""

_NAMES: Final = {"fields": "--field"}
"""Options that are not spelled as their keyword, since they are given once for each value."""


def register(group: App, name: str) -> None:
    """Add the commands of a resource, such as `meetings`, to its app."""
    for row in COMMANDS:
        if row.group == name:
            group.command(command_for(row), name=row.word)


def command_for(row: OperationCommand) -> Callable[..., int]:
    """The command of a row: a function with a signature and a docstring that cyclopts reads."""
    arguments = arguments_of(row.method)
    is_list = not inspect.iscoroutinefunction(row.method)
    signature = _signature(arguments, is_list=is_list, deletes=row.deletes)

    def command(*words: Any, **named: Any) -> int:
        given = signature.bind(*words, **named)
        given.apply_defaults()
        options: GlobalOptions = given.arguments["options"]
        keywords = _keywords(arguments, given.arguments)
        if is_list:
            return asyncio.run(_list(row, options, arguments, keywords, given.arguments[_MAX_ITEMS]))
        if row.deletes:
            points = _checked(row, arguments, keywords)
            if given.arguments[_DRY_RUN]:
                options.output().done(row.operation, _subjects(arguments, keywords), points=points)
                return ExitCode.OK
            if not given.arguments[_YES] and can_ask():
                _ask(row, arguments, keywords)
        return _run(row, options, arguments, keywords)

    command.__signature__ = signature  # type: ignore[attr-defined]  # what inspect looks at first
    command.__doc__ = _help(row)
    return command


def _help(row: OperationCommand) -> str:
    """The first paragraph of the method's docstring, the row's note, and examples."""
    summary = (inspect.getdoc(row.method) or "").partition("\n\n")[0].replace("`", "")
    texts = [" ".join(paragraph.split()) for paragraph in (summary, row.note) if paragraph]
    lines = [f"    whereby {row.group} {row.word} {example}".rstrip() for example in row.examples]
    return "\n\n".join([*(textwrap.fill(text, _HELP_WIDTH) for text in texts), "For example:", "\n".join(lines)]) + "\n"


def _signature(arguments: list[Argument], *, is_list: bool, deletes: bool) -> inspect.Signature:
    parameters = [argument.parameter for argument in arguments]
    named = inspect.Parameter.KEYWORD_ONLY
    if is_list:
        annotation = Annotated[int | None, Parameter(help="Stop after so many rows.")]
        parameters.append(inspect.Parameter(_MAX_ITEMS, named, default=None, annotation=annotation))
    if deletes:
        text = Parameter(help="Say what would be deleted, and send nothing.")
        parameters.append(inspect.Parameter(_YES, named, default=False, annotation=Yes))
        parameters.append(inspect.Parameter(_DRY_RUN, named, default=False, annotation=Annotated[Flag, text]))
    parameters.append(inspect.Parameter("options", named, default=GlobalOptions(), annotation=GlobalOptions))
    return inspect.Signature(parameters, return_annotation=int)


class Argument(NamedTuple):
    """One parameter of a method, as the command line has it.

    Attributes:
        keyword: Its name in Python.
        option: Its name for the user, such as `--end-date` or `MEETING-ID`.
        read: Turns the option's name and its words into the value.
        parameter: What cyclopts makes of it.
    """

    keyword: str
    option: str
    read: Callable[[str, Any], Any]
    parameter: inspect.Parameter


def arguments_of(method: Callable[..., Any]) -> list[Argument]:
    """The parameters of a method of a resource, `self` left out.

    Raises:
        AttributeError: One has an annotation that is not known here.
    """
    documented = dict(_ARGS.findall(inspect.getdoc(method) or ""))
    _, *parameters = inspect.signature(method).parameters.values()
    options = {parameter.name: _option_name(parameter) for parameter in parameters}
    return [
        _argument(parameter, in_option_names(documented.get(parameter.name, ""), options)) for parameter in parameters
    ]


def _option_name(parameter: inspect.Parameter) -> str:
    name = parameter.name.replace("_", "-")
    is_option = parameter.kind is inspect.Parameter.KEYWORD_ONLY
    return _NAMES.get(parameter.name, f"--{name}") if is_option else name.upper()


def _argument(parameter: inspect.Parameter, documented: str) -> Argument:
    kind, read = _option_type(str(parameter.annotation).removesuffix(_OPTIONAL))
    keyword, is_needed = parameter.name, parameter.default is inspect.Parameter.empty
    is_option = parameter.kind is inspect.Parameter.KEYWORD_ONLY
    is_ids = read is values.ids
    is_repeated = kind == tuple[str, ...] or keyword in _NAMES
    option = _option_name(parameter)
    settings = Parameter(
        name=(option,) if is_option else None,
        help=_TEXTS.get(keyword) or " ".join(documented.replace("`", "").split()),
        negative=() if is_repeated else None,
        consume_multiple=False if is_repeated else None,
        show_default=isinstance(parameter.default, int) and parameter.default > 0,
    )
    shape = inspect.Parameter.VAR_POSITIONAL if is_ids else inspect.Parameter.POSITIONAL_ONLY
    annotation: Any = kind if is_needed or is_repeated else kind | None
    default = () if is_repeated else parameter.default
    return Argument(
        keyword,
        option,
        read,
        inspect.Parameter(
            keyword,
            inspect.Parameter.KEYWORD_ONLY if is_option else shape,
            default=inspect.Parameter.empty if is_ids or is_needed else default,
            annotation=Annotated[annotation, settings],
        ),
    )


def _as_it_is(_option: str, value: Any) -> Any:
    return value


_TYPES: Final[Mapping[str, tuple[Any, Callable[[str, Any], Any]]]] = {
    "str": (str, _as_it_is),
    "int": (int, _as_it_is),
    "bool": (bool, _as_it_is),
    "datetime | str": (str, values.moment),
    "Iterable[MeetingField]": (tuple[models.MeetingField, ...], _as_it_is),
    "Iterable[str]": (str, values.ids),
    "Mapping[str, Any]": (tuple[str, ...], values.pairs),
    "Mapping[str, str]": (tuple[str, ...], values.pairs),
    "ImageSource": (Path, _as_it_is),
}
"""The type of an option's words, and what reads them, by the annotation of the method's keyword."""


def _option_type(annotation: str) -> tuple[Any, Callable[[str, Any], Any]]:
    if known := _TYPES.get(annotation):
        return known
    if annotation.endswith(_NESTED):
        return str, values.structure
    return getattr(models, annotation), _as_it_is  # a documented word, or any other


def _keywords(arguments: list[Argument], given: Mapping[str, Any]) -> dict[str, Any]:
    """The method's arguments by keyword; what was not given is left to the method's own default."""
    words = ((argument, given[argument.keyword]) for argument in arguments)
    return {
        argument.keyword: argument.read(argument.option, word)
        for argument, word in words
        if (word is not None and word != ()) or argument.read is values.ids
    }


class _Asked:
    """A hook that knows whether a request is out that may do what it must not do twice."""

    is_open = False

    def on_attempt(self, _details: AttemptDetails) -> None:
        self.is_open = True

    def on_response(self, _details: ResponseDetails) -> None:
        self.is_open = False

    def on_retry(self, _details: RetryDetails) -> None:
        self.is_open = False  # only what has surely done nothing, or may be done twice, is sent again


def _run(row: OperationCommand, options: GlobalOptions, arguments: list[Argument], keywords: dict[str, Any]) -> int:
    """Call, until a signal comes.

    Raises:
        Interrupted: One came; its message says whether something may have been done all the same.
    """
    asked = _Asked()
    try:
        with interruptible():
            return asyncio.run(_call(row, options, arguments, keywords, asked))
    except Interrupted as error:
        perhaps = f"\n{PERHAPS}" if asked.is_open and not only_reads(row.operation) else ""
        raise Interrupted(f"interrupted{perhaps}", error.number) from None


async def _call(
    row: OperationCommand,
    options: GlobalOptions,
    arguments: list[Argument],
    keywords: dict[str, Any],
    asked: _Asked,
) -> int:
    output = options.output()
    async with options.client(asked) as client:
        with _as_usage_errors(arguments):
            result: msgspec.Struct | list[msgspec.Struct] | None = await row.method(
                getattr(client, row.group), **keywords
            )
    if result is None:
        output.done(row.operation, _subjects(arguments, keywords))
    else:
        output.rows(result if isinstance(result, list) else [result])
    return ExitCode.OK


def _subjects(arguments: list[Argument], keywords: dict[str, Any]) -> dict[str, Any]:
    """What a call does something to: the arguments that are no options, in the API's spelling."""
    names = [each.keyword for each in arguments if not each.option.startswith("--") and each.keyword in keywords]
    return {_camel(name): keywords[name] for name in names}


class _Unsent:
    """Stands in for a resource and its client: a call is checked as any, and what it would send is kept."""

    request: Request[Any]

    def __init__(self) -> None:
        self._sender = self

    async def send(self, request: Request[Any]) -> None:
        """Keep a request."""
        self.request = request


def _checked(row: OperationCommand, arguments: list[Argument], keywords: dict[str, Any]) -> int:
    """The documented price of a call that could be sent.

    Raises:
        UsageError: An argument can not be used.
    """
    unsent = _Unsent()
    with _as_usage_errors(arguments):
        asyncio.run(row.method(unsent, **keywords))
    return unsent.request.operation.cost


def _ask(row: OperationCommand, arguments: list[Argument], keywords: dict[str, Any]) -> None:
    (subject,) = _subjects(arguments, keywords).values()
    names = [subject] if isinstance(subject, str) else list(dict.fromkeys(subject))
    more = f", and {len(names) - _EXAMPLES:,} more" if len(names) > _EXAMPLES else ""
    warning = " Whoever is in its room is thrown out." if row.group == "meetings" else ""
    ask(f"To be deleted of the {row.group}: {', '.join(names[:_EXAMPLES])}{more}.{warning}", len(names))


async def _list(
    row: OperationCommand,
    options: GlobalOptions,
    arguments: list[Argument],
    keywords: dict[str, Any],
    max_items: int | None,
) -> int:
    has_links = bool(keywords.get("fields"))  # they are too long for a table
    output = options.output("" if has_links else row.columns)
    if max_items is not None:
        if max_items < 1:
            raise UsageError(f"--max-items {max_items}: pass a number from 1")
        keywords = keywords | _even_pages(max_items, keywords.get("page_size", _LARGEST_PAGE))
    async with options.client() as client:
        with _as_usage_errors(arguments):
            paginator: Paginator[msgspec.Struct] = row.method(getattr(client, row.group), **keywords)
        count = 0
        async with paginator:
            async for page in paginator.pages():
                rows = page.results[: None if max_items is None else max_items - count]
                output.rows(rows)
                count += len(rows)
                if count == max_items:
                    break
        output.end(count)
    return ExitCode.OK


def _even_pages(wanted: int, largest: int) -> dict[str, int]:
    """The page size that makes as few pages, and reads no more rows than it must."""
    if not 1 <= largest <= _LARGEST_PAGE:
        return {}  # the client says what is wrong with it
    return {"page_size": math.ceil(wanted / math.ceil(wanted / largest))}


@contextlib.contextmanager
def _as_usage_errors(arguments: list[Argument]) -> Generator[None]:
    """Turn errors about values that no call can use, and files that can not be read, into wrong usage of options."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{error.filename or 'the file'}: {error.strerror or error}") from None
    except (ValueError, TypeError) as error:
        raise UsageError(in_option_names(str(error), {each.keyword: each.option for each in arguments})) from None


def _camel(keyword: str) -> str:
    first, *rest = keyword.split("_")
    return first + "".join(map(str.capitalize, rest))


_WAIT_HELP: Final = """Wait until one of the {name} is ready, and print it. Costs 1 point a look.

It looks at once, and then ever more rarely, every 30 seconds at the most. One
that failed ends it with exit code 1 and the server's reason.

For example:

    whereby {name} wait b1f0c1a2-6f6c-4c55-9f0e
    whereby {name} wait b1f0c1a2-6f6c-4c55-9f0e --within 600 --json
"""


def _wait_command(name: str) -> Callable[..., int]:
    def wait(
        job_id: Annotated[str, Parameter(help="Its id.")],
        /,
        *,
        within: Annotated[
            float | None,
            Parameter(help="Seconds to wait at most; then exit code 4.", validator=validators.Number(gt=0)),
        ] = None,
        options: GlobalOptions = GlobalOptions(),  # noqa: B008 - frozen
    ) -> int:
        return asyncio.run(_wait(name, job_id, within, options))

    wait.__doc__ = _WAIT_HELP.format(name=name)
    return wait


async def _wait(name: str, job_id: str, within: float | None, options: GlobalOptions) -> int:
    async with options.client(is_long=True) as client:
        try:
            async with asyncio.timeout(within):
                done = await getattr(client, name).wait(job_id)
        except TimeoutError:
            raise OutOfTimeError(f"{name}: {job_id} was not ready within {within:g} s; it goes on without us") from None
    options.output().rows([done])
    return ExitCode.OK


wait_for_transcription: Callable[..., int] = _wait_command("transcriptions")
wait_for_summary: Callable[..., int] = _wait_command("summaries")
