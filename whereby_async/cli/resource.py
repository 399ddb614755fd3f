"""The commands that are one operation each: made from the catalogue's rows and the signatures of the client's methods."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import textwrap
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

from cyclopts import Parameter

from .. import resources
from .catalogue import CATALOGUE
from .connection import Connection
from .exits import ExitCode, UsageError
from .parameters import arguments_of
from .results import results_for
from .values import spoken
from .words import TEXTS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    import msgspec
    from cyclopts import App

    from .. import Paginator
    from .catalogue import Entry
    from .parameters import Argument
    from .results import Results

_MAX_ITEMS: Final = "max_items"
_LARGEST_PAGE: Final = 100
_HELP_WIDTH: Final = 78


def register(group: App, name: str) -> None:
    """Add the commands of a group to its app.

    Args:
        group: The group's app.
        name: Its name, such as `meetings`.
    """
    for entry in CATALOGUE:
        if entry.group == name:
            group.command(command_for(entry), name=entry.word)


def command_for(entry: Entry) -> Callable[..., int]:
    """The command of a row: a function with a signature and a docstring that cyclopts reads."""
    method: Callable[..., Any] = getattr(getattr(resources, entry.group.capitalize()), entry.method)
    arguments = arguments_of(method)
    is_list = not inspect.iscoroutinefunction(method)
    signature = _signature(arguments, is_list=is_list)

    def command(*words: Any, **options: Any) -> int:
        given = signature.bind(*words, **options)
        given.apply_defaults()
        connection = given.arguments["connection"]
        if is_list:
            max_items = given.arguments[_MAX_ITEMS]
            return asyncio.run(_list(entry, connection, arguments, _values(arguments, given.arguments), max_items))
        return asyncio.run(_call(entry, connection, arguments, _values(arguments, given.arguments)))

    command.__signature__ = signature  # type: ignore[attr-defined]  # what inspect looks at first
    command.__doc__ = _help(entry, method)
    command.__name__ = entry.method
    return command


def _signature(arguments: list[Argument], *, is_list: bool) -> inspect.Signature:
    parameters = [argument.parameter for argument in arguments]
    named = inspect.Parameter.KEYWORD_ONLY
    if is_list:
        annotation = Annotated[int | None, Parameter(name=("--max-items",), help=TEXTS[_MAX_ITEMS])]
        parameters.append(inspect.Parameter(_MAX_ITEMS, named, default=None, annotation=annotation))
    parameters.append(inspect.Parameter("connection", named, default=Connection(), annotation=Connection))
    return inspect.Signature(parameters, return_annotation=int)


def _help(entry: Entry, method: Callable[..., Any]) -> str:
    """The first paragraph of the method's docstring, the row's note, and examples."""
    summary = (inspect.getdoc(method) or "").partition("\n\n")[0].replace("`", "")
    told = [" ".join(paragraph.split()) for paragraph in (summary, entry.note) if paragraph]
    lines = [f"    whereby {entry.group} {entry.word} {example}".rstrip() for example in entry.examples]
    return "\n\n".join([*(textwrap.fill(text, _HELP_WIDTH) for text in told), "For example:", "\n".join(lines)]) + "\n"


def _values(arguments: list[Argument], given: Mapping[str, Any]) -> dict[str, Any]:
    """The method's arguments by keyword; what was not given is left to the method's own default."""
    words = ((argument, given[argument.keyword]) for argument in arguments)
    return {
        argument.keyword: argument.read(argument.option, word)
        for argument, word in words
        if (word is not None and word != ()) or argument.parameter.kind is inspect.Parameter.VAR_POSITIONAL
    }


async def _call(entry: Entry, connection: Connection, arguments: list[Argument], values: dict[str, Any]) -> int:
    show = results_for(as_json=connection.as_json)
    async with connection.client() as client:
        method: Callable[..., Any] = getattr(getattr(client, entry.group), entry.method)
        with told_as_usage(arguments):
            result: msgspec.Struct | list[msgspec.Struct] | None = await method(**values)
    if result is None:
        named = {a.keyword: values[a.keyword] for a in arguments if not a.is_option and a.keyword in values}
        show.done(entry.operation, **{_camel(keyword): _plain(value) for keyword, value in named.items()})
    elif isinstance(result, list):
        show.rows(result)
    else:
        show.one(result)
    return ExitCode.OK


async def _list(
    entry: Entry,
    connection: Connection,
    arguments: list[Argument],
    values: dict[str, Any],
    max_items: int | None,
) -> int:
    records = bool(values.get("fields"))  # links that were asked for are too long for a table
    show = results_for(as_json=connection.as_json, columns=() if records else entry.columns)
    if max_items is not None:
        if max_items < 1:
            raise UsageError(f"--max-items {max_items}: pass a number from 1")
        values = values | _even_pages(max_items, values.get("page_size", _LARGEST_PAGE))
    async with connection.client() as client:
        with told_as_usage(arguments):
            paginator: Paginator[msgspec.Struct] = getattr(getattr(client, entry.group), entry.method)(**values)
        async with paginator:
            await _show_pages(paginator, show, math.inf if max_items is None else max_items)
    return ExitCode.OK


async def _show_pages(paginator: Paginator[msgspec.Struct], show: Results, wanted: float) -> None:
    count = 0
    async for page in paginator.pages():
        rows = page.results if wanted == math.inf else page.results[: int(wanted) - count]
        show.rows(rows)
        count += len(rows)
        if count >= wanted:
            break
    show.end(count)


def _even_pages(wanted: int, largest: int) -> dict[str, int]:
    """The page size that makes as few pages, and reads no more rows than it must."""
    if not 1 <= largest <= _LARGEST_PAGE:
        return {}  # the client says what is wrong with it
    return {"page_size": math.ceil(wanted / math.ceil(wanted / largest))}


@contextlib.contextmanager
def told_as_usage(arguments: list[Argument]) -> Generator[None]:
    """Values that no call can use, and files that can not be read, are wrong usage, told by the options' names.

    Args:
        arguments: The command's.

    Raises:
        UsageError: Such a one.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(f"{error.filename or 'the file'}: {error.strerror or error}") from None
    except (ValueError, TypeError) as error:
        raise UsageError(spoken(str(error), {each.keyword: each.option for each in arguments})) from None


def _plain(value: object) -> object:
    return cast("object", value) if isinstance(value, str | list) else str(value)


def _camel(keyword: str) -> str:
    first, *rest = keyword.split("_")
    return first + "".join(map(str.capitalize, rest))
