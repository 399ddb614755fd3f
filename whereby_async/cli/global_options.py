"""The options of every command, the client that they make, and types that options share.

An option that all commands take is a field of `OutputOptions`. An option of the commands that talk to the API is a
field of `GlobalOptions`. Nothing else has to know of it.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, get_args, get_type_hints
from urllib.parse import urlsplit

from cyclopts import Group, Parameter, validators

from ..errors import ConfigurationError
from .errors import UsageError, ask_for_log, in_option_names
from .keys import key_and_root
from .output import Output
from .progress import StderrHook

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .. import SessionPool, WherebyClient
    from ..limiter import Limiter

_EVERYWHERE: Final = Group("Options of every command", sort_key=100)
_LONG_OUTAGE: Final = 900.0
"""Seconds that the calls of long work wait for the service, unless `--max-outage` says otherwise."""

_REDIS_VARIABLE: Final = "WHEREBY_REDIS_URL"

Flag: TypeAlias = Annotated[bool, Parameter(negative="", show_default=False)]
"""An option without a value, which is off unless given."""

Yes: TypeAlias = Annotated[bool, Parameter(name=("--yes", "-y"), negative="", show_default=False, help="Do not ask.")]
"""Leave to delete."""

Several: TypeAlias = Annotated[tuple[str, ...], Parameter(negative=(), consume_multiple=False, show_default=False)]
"""An option that may be given several times, with a value each."""

AtLeastOne: TypeAlias = Annotated[int, Parameter(validator=validators.Number(gte=1))]
"""A number from 1, such as how many calls run at once."""


def _option(text: str, *names: str, **settings: Any) -> Parameter:
    return Parameter(name=names or None, help=text, group=_EVERYWHERE, show_default=False, **settings)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How to show results; every command has these options."""

    as_json: Annotated[bool, _option("JSON lines, also on a terminal.", "--json", negative="")] = False
    quiet: Annotated[bool, _option("No progress and no hints; errors still.", "--quiet", "-q", negative="")] = False

    def output(self, columns: str = "") -> Output:
        """Where the command prints, in a table with these columns if there are any."""
        return Output(as_json=self.as_json, columns=columns)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class GlobalOptions(OutputOptions):
    """How to reach the API; every command that talks to it has these options too."""

    profile: Annotated[
        str | None,
        _option("The profile with the key and the root (see whereby profiles); else WHEREBY_PROFILE. Variables win."),
    ] = None
    base_url: Annotated[
        str | None, _option("The API's root; else WHEREBY_BASE_URL, else https://api.whereby.dev/v1.")
    ] = None
    insecure_http: Annotated[
        bool,
        _option("Allow an http root on another machine; else WHEREBY_INSECURE_HTTP=1.", negative=""),
    ] = False
    proxy: Annotated[
        str | None, _option("http://HOST:PORT: the proxy for https; else HTTPS_PROXY or ALL_PROXY, else none.")
    ] = None
    no_proxy: Annotated[bool, _option("Go through no proxy, whatever the environment says.", negative="")] = False
    max_wait: Annotated[
        float | None,
        _option("Seconds that one call may wait for points, 0 for none (exit code 3); else as long as it takes."),
    ] = None
    max_outage: Annotated[
        float | None,
        _option(
            "Seconds that one call may wait for a service that can not be reached, 0 for none; else 900 for long work"
            " (import, purge, export, sync, download, wait), 2 for the rest."
        ),
    ] = None
    timeout: Annotated[float | None, _option("Seconds for one attempt; 30 unless given.")] = None
    reserve: Annotated[
        float | None,
        _option(
            "Share of each window, 0 to below 1, that long work leaves for others at most; else 0.1. 0 if nobody else"
            " waits beside it."
        ),
    ] = None
    redis: Annotated[
        str | None,
        _option("redis://HOST:PORT/DB: the budget that several processes share; else WHEREBY_REDIS_URL, else none."),
    ] = None
    redis_name: Annotated[str | None, _option("The shared budget's name; whereby unless given.")] = None
    verbose: Annotated[
        bool, _option("Every attempt, wait and retry on stderr; else WHEREBY_LOG.", "--verbose", "-v", negative="")
    ] = False

    @contextlib.asynccontextmanager
    async def client(self, *hooks: Any, is_long: bool = False) -> AsyncGenerator[WherebyClient]:
        """A client with these hooks, closed at the end; it asks for the key if environment and profile have none.

        Args:
            hooks: What it tells of its calls, besides stderr.
            is_long: Its calls are those of long work, and wait longer for a service that can not be reached.

        Raises:
            UsageError: There is no key, or an option can not be used.
            ConfigurationError: An option or the environment's proxy can not be used.
        """
        from .. import WherebyClient

        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose: pass one of them")
        if self.verbose:
            ask_for_log()
        pool = self._pool()
        key, base_url = key_and_root(self.profile, self.base_url)
        max_outage = _LONG_OUTAGE if self.max_outage is None and is_long else self.max_outage
        given = {"timeout": self.timeout, "max_outage": max_outage}
        if self.insecure_http:
            given["insecure_http"] = True
        options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(pool.aclose)
            if (limiter := self._limiter()) is not None:
                stack.push_async_callback(limiter.aclose)
                options["limiter"] = limiter
            every = [StderrHook(outages=bool(max_outage) or self.verbose), *hooks]
            client = WherebyClient(key, base_url=base_url, pool=pool, max_wait=self.max_wait, hooks=every, **options)
            yield await stack.enter_async_context(client)

    def _pool(self) -> SessionPool:
        from .. import SessionPool

        if self.proxy is not None and self.no_proxy:
            raise UsageError("--proxy and --no-proxy: pass one of them")
        if self.proxy is not None and "@" in self.proxy:
            raise UsageError(
                "--proxy holds a user or a password, and everybody can see a command line:"
                " set the variable HTTPS_PROXY instead"
            )
        return SessionPool(proxy=self.proxy, trust_env=not self.no_proxy)

    def _limiter(self) -> Limiter | None:
        url = redis_url(self.redis)
        given: dict[str, Any] = {} if self.reserve is None else {"reserve": self.reserve}
        if self.redis_name is not None:
            if url is None:
                raise UsageError(f"--redis-name is for a shared budget: pass --redis too, or set {_REDIS_VARIABLE}")
            given["name"] = self.redis_name
        if url is None and not given:
            return None
        from ..limiter import PointBudget, RedisPointBudget

        try:
            return PointBudget(**given) if url is None else RedisPointBudget(url, **given)
        except ConfigurationError as error:
            raise UsageError(in_option_names(str(error), {"name": "--redis-name"})) from None


def option_names() -> dict[str, bool]:
    """The names of all these options, and whether each takes a value."""
    names: dict[str, bool] = {}
    for field, hint in get_type_hints(GlobalOptions, include_extras=True).items():
        kind, parameter = get_args(hint)
        names |= dict.fromkeys(parameter.name or [f"--{field.replace('_', '-')}"], kind is not bool)
    return names


def redis_url(given: str | None) -> str | None:
    """Where the shared budget is: the option, else the variable, else nowhere.

    Raises:
        UsageError: The option holds a password, which everybody could see.
    """
    if given is None:
        return os.environ.get(_REDIS_VARIABLE, "").strip() or None
    if urlsplit(given).password:
        raise UsageError(
            "--redis holds a password, and everybody can see a command line:"
            f" set the variable {_REDIS_VARIABLE} instead"
        )
    return given
