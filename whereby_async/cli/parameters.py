"""A method of the client as a command: its signature read into options, and the options' words into its arguments.

What a keyword of a method is on the command line follows from its annotation alone, so that a new keyword of the client is
an option by itself; one whose annotation is not known here fails the tests.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from cyclopts import Parameter

from .. import models
from . import values
from .words import NAMES, TEXTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OPTIONAL: Final = " | None"
_NESTED: Final = " | Mapping[str, Any]"
_ARGS: Final = re.compile(r"^    (\w+): (.*(?:\n        .*)*)", re.MULTILINE)


class Kind(NamedTuple):
    """What an annotation becomes.

    Attributes:
        type: The type of the option's words.
        read: Turns the option's name and its words into the argument.
    """

    type: Any
    read: Callable[[str, Any], Any]


def _as_it_is(_option: str, value: Any) -> Any:
    return value


def _ids(_option: str, words: tuple[str, ...]) -> list[str]:
    return values.ids(words)


_KINDS: Final[Mapping[str, Kind]] = {
    "str": Kind(str, _as_it_is),
    "int": Kind(int, _as_it_is),
    "bool": Kind(bool, _as_it_is),
    "datetime | str": Kind(str, values.moment),
    "Iterable[MeetingField]": Kind(tuple[models.MeetingField, ...], _as_it_is),
    "Iterable[str]": Kind(str, _ids),
    "Mapping[str, Any]": Kind(tuple[str, ...], values.pairs),
    "Mapping[str, str]": Kind(tuple[str, ...], values.pairs),
    "ImageSource": Kind(Path, _as_it_is),
}


class Argument(NamedTuple):
    """One parameter of a method, as the command line has it.

    Attributes:
        keyword: Its name in Python.
        option: Its name for the user, such as `--end-date` or `MEETING-ID`.
        read: Turns the words into the value.
        parameter: What cyclopts makes of it.
    """

    keyword: str
    option: str
    read: Callable[[str, Any], Any]
    parameter: inspect.Parameter

    @property
    def is_option(self) -> bool:
        """Is it given by name?"""
        return self.parameter.kind is inspect.Parameter.KEYWORD_ONLY


def arguments_of(method: Callable[..., Any]) -> list[Argument]:
    """The parameters of a method of a resource, `self` left out.

    Raises:
        LookupError: One has an annotation that is not known here.
    """
    told = dict(_ARGS.findall(inspect.getdoc(method) or ""))
    _, *parameters = inspect.signature(method).parameters.values()
    return [_argument(parameter, told.get(parameter.name, "")) for parameter in parameters]


def _argument(parameter: inspect.Parameter, told: str) -> Argument:
    kind = _kind(str(parameter.annotation).removesuffix(_OPTIONAL))
    keyword, needed = parameter.name, parameter.default is inspect.Parameter.empty
    text = TEXTS.get(keyword) or " ".join(told.replace("`", "").split())
    many = kind.read is _ids
    named = parameter.kind is inspect.Parameter.KEYWORD_ONLY
    option = NAMES.get(keyword, "--" + keyword.replace("_", "-")) if named else keyword.replace("_", "-").upper()
    several = kind.type == tuple[str, ...] or keyword in NAMES
    settings = Parameter(
        name=(option,) if named else None,
        help=text,
        negative=() if several else None,
        consume_multiple=False if several else None,
        show_default=isinstance(parameter.default, int) and parameter.default > 0,
    )
    shape = (
        inspect.Parameter.KEYWORD_ONLY
        if named
        else inspect.Parameter.VAR_POSITIONAL
        if many
        else inspect.Parameter.POSITIONAL_ONLY
    )
    annotation: Any = kind.type if needed or several else kind.type | None
    default = parameter.default if not several else ()
    return Argument(
        keyword,
        option,
        kind.read,
        inspect.Parameter(
            keyword,
            shape,
            default=inspect.Parameter.empty if many or needed else default,
            annotation=Annotated[annotation, settings],
        ),
    )


def _kind(annotation: str) -> Kind:
    if known := _KINDS.get(annotation):
        return known
    if annotation.endswith(_NESTED):
        return Kind(str, values.structure)
    return Kind(getattr(models, annotation), _as_it_is)  # a documented word, or any other
