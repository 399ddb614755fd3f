"""Reads and checks a client's options and its environment.

Each function here raises `ConfigurationError` for a value that cannot be used; the error says what to pass instead, and
never shows a key.
"""

from __future__ import annotations

import inspect
import ipaddress
import logging
import math
import os
import re
import stat
import sys
from typing import TYPE_CHECKING, Final, Self, TextIO
from urllib.parse import SplitResult, urlsplit, urlunsplit

from .errors import ConfigurationError
from .hooks import CALL_METHODS, LIMITER_METHODS
from .notify import logger
from .redaction import Secret, SilentBytes, as_secret, plain, redact, shown, type_name
from .version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .hooks import Hook

KEY_VARIABLE = "WHEREBY_API_KEY"
KEY_FILE_VARIABLE = "WHEREBY_API_KEY_FILE"
URL_VARIABLE = "WHEREBY_BASE_URL"
INSECURE_VARIABLE = "WHEREBY_INSECURE_HTTP"
LOG_VARIABLE = "WHEREBY_LOG"
DEFAULT_URL = "https://api.whereby.dev/v1"
_HOOK_METHODS = (*CALL_METHODS, "on_limiter", "on_unavailable", "on_deprecated", *LIMITER_METHODS)
_LIMITER_MEMBERS = ("acquire", "snapshot", "forecast", "subscribe", "aclose")
_TOO_LARGE = 2**1000
"""Larger whole numbers than this do not fit into a float."""

_LARGEST_FILE = 1 << 20
"""Bytes of a file that holds keys; a larger one was named by mistake."""
_LONGEST_KEY = 8192
"""Characters of a key. Servers take no longer header."""
_SHORT = 20
"""A relative path from this length on may be a key that was put into the wrong variable."""
_QUOTES = tuple("\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb")
_LABEL = re.compile(r"(?i)(?:authorization|bearer|(?:export\s+)?whereby_api_key)(?:[\s:=]|$)")
_IN_NO_KEY = {"zero bytes, as text in UTF-16 instead of UTF-8 does": "\0", "a line break": "\n\r", "a space": " \t"}

_insecure: set[str] = set()
"""The roots of which the log says already that keys go there in the clear."""
_readable: set[str] = set()
"""The key files of which the log says already that others can read them."""


class NamedKey(Secret):
    """A key that tells where it came from, which errors about it say.

    Attributes:
        source: Such as `it comes from the profile acme`.
    """

    source: str

    def __new__(cls, key: str, source: str) -> Self:
        """Make one."""
        made = super().__new__(cls, key)
        made.source = source
        return made


def key_variable() -> str:
    """The variable that a client without `api_key=` has its key from: `WHEREBY_API_KEY`, unless the other is set."""
    if not os.environ.get(KEY_FILE_VARIABLE, "").strip():
        return KEY_VARIABLE
    if os.environ.get(KEY_VARIABLE, "").strip():
        raise ConfigurationError(f"{KEY_VARIABLE} and {KEY_FILE_VARIABLE} are both set: unset one of them")
    return KEY_FILE_VARIABLE


_LOG_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


class _LogPrinter(logging.StreamHandler[TextIO]):
    """Prints on stderr, unless the program has set up logging since: each line is printed once."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        if logger.handlers == [self] and not logging.root.handlers:
            self.stream = sys.stderr
            super().emit(record)


_log_printer: Final = _LogPrinter()  # one for the process, since a handler that is there already is not added again
_log_printer.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))


def set_up_log() -> None:
    """Log as the environment wants it: from that level on, unless the program has set one, and on stderr, unless it has
    handlers.
    """
    wanted = os.environ.get(LOG_VARIABLE, "").strip()
    if not wanted:
        return
    level = _LOG_LEVELS.get(wanted.lower())
    if level is None:
        raise ConfigurationError(f"{LOG_VARIABLE}={shown(wanted)}: set it to one of {', '.join(_LOG_LEVELS)}")
    if logger.level == logging.NOTSET:
        logger.setLevel(level)
    if not logger.hasHandlers():
        logger.addHandler(_log_printer)


def read_key(api_key: str | None) -> tuple[Secret, str]:
    """The key, stripped, and where it came from."""
    given = as_secret(api_key)
    source = given.source if isinstance(given, NamedKey) else "it was passed as api_key="
    if given is None and key_variable() == KEY_FILE_VARIABLE:
        given = _key_of_file()
        source = given.source
    elif given is None:
        given = as_secret(os.environ.get(KEY_VARIABLE))
        source = f"it comes from the variable {KEY_VARIABLE}"
    if given is not None and not isinstance(given, str):
        raise ConfigurationError(f"api_key must be a string, not {type_name(given)}")
    key = Secret((given or "").strip())
    if not key:
        blank = "not set" if given is None else "blank"
        advice = f"set the variable {KEY_VARIABLE} or {KEY_FILE_VARIABLE}, or pass api_key="
        raise ConfigurationError(f"no API key: {advice} (it was {blank})")
    if flaw := _flaw(key):
        raise ConfigurationError(f"the API key {flaw} ({source})")
    return key, source


def _flaw(key: str) -> str:
    """What is wrong with a key, in words that do not repeat it; empty if nothing is."""
    if key.startswith(_QUOTES) or key.endswith(_QUOTES):
        return "is in quotes: leave them out"
    if _LABEL.match(key):
        return "has a word before it, such as Bearer or a variable's name: leave it out, the key alone is needed"
    if held := next((held for held, all_of_it in _IN_NO_KEY.items() if any(each in key for each in all_of_it)), ""):
        return f"holds {held}, which no header can carry: the key alone is needed"
    if not key.isascii():
        return "holds a character that is not ASCII, perhaps an invisible one, which no header can carry: copy it anew"
    if len(key) > _LONGEST_KEY:
        return f"has {len(key)} characters, more than any key has: it is something else, such as a file"
    return "" if key.isprintable() else "holds a control character, which no header can carry: copy it anew"


def _key_of_file() -> NamedKey:
    path = Secret(os.environ.get(KEY_FILE_VARIABLE, "").strip())
    # A key in the wrong variable is no absolute path, and longer than most relative ones.
    is_path = os.path.isabs(path) or len(path) < _SHORT  # noqa: PTH117 - the path is a `Secret`
    named = shown(path) if is_path else "a path that is not shown, as it may be a key"
    text, status = read_secrets(path, f"{KEY_FILE_VARIABLE} ({named})")
    if not text.strip():
        raise ConfigurationError(f"{KEY_FILE_VARIABLE} ({named}) is empty: no API key is in it")
    # Root's files are those that Docker and Kubernetes mount for everybody in a container of its own.
    if status.st_uid and status.st_mode & (stat.S_IRGRP | stat.S_IROTH) and path not in _readable:
        _readable.add(path)
        logger.warning("others can read the API key of %s: chmod 600 %s", KEY_FILE_VARIABLE, named)
    return NamedKey(text, f"it comes from the file {named} of the variable {KEY_FILE_VARIABLE}")


def read_secrets(path: str, name: str) -> tuple[Secret, os.stat_result]:
    """The text of a small plain file that holds keys, and what the system says of it.

    A byte order mark is left out. Bytes that are no UTF-8 become lone surrogates, which are in no key.

    Args:
        path: Where it is.
        name: What an error calls it.

    Raises:
        ConfigurationError: It can not be read, or is no plain file, or too large. No other error is chained to it,
            which could show what the file holds.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - the path is a `Secret`
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer
            flaw = "is no plain file"
        else:
            with open(path, "rb") as file:  # noqa: PTH123 - likewise
                content = SilentBytes(file.read(_LARGEST_FILE + 1))
            if len(content) <= _LARGEST_FILE:
                return Secret(content.decode("utf-8-sig", "surrogateescape")), status
            flaw = "is larger than 1 MiB"
    except OSError as error:
        flaw = f"can not be read: {error.strerror}"
    raise ConfigurationError(f"{name} {flaw}")


def read_base_url(base_url: str | None, insecure_http: bool | None = None) -> str:
    """The API's root without a slash at its end: an https URL without user, query and fragment.

    It is http only to loopback addresses, or where that is allowed, which the log says once for each root.
    """
    root, host = root_and_host(base_url if base_url is not None else os.environ.get(URL_VARIABLE) or DEFAULT_URL)
    _check_scheme(root, host, insecure_http)
    return root


def root_and_host(url: str) -> tuple[str, str]:
    """The API's root without a slash at its end, and its host; it may be http."""
    if not isinstance(url, str):
        raise ConfigurationError(f"base_url must be a string, not {type_name(url)}: pass one like {DEFAULT_URL!r}")
    url = Secret(url.strip())
    if "@" in url:
        raise ConfigurationError("base_url must not hold a user or a password; the API key goes in api_key=")
    if "?" in url or "#" in url:
        msg = f"base_url={redact(re.split('[?#]', url)[0])!r} goes on with a query or a fragment: leave it out"
        raise ConfigurationError(msg)
    parts, host = _split(url)
    if parts.scheme not in {"http", "https"} or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationError(f"base_url={redact(url)!r} is no usable URL: pass one like {DEFAULT_URL!r}")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")), host


def _check_scheme(root: str, host: str, insecure_http: bool | None) -> None:
    insecure_http = plain(insecure_http)
    if insecure_http is not None:
        require("insecure_http", insecure_http, bool, advice="pass True, or nothing")
    if root.startswith("https:"):
        if insecure_http:
            msg = f"insecure_http=True is for an http base_url only, not for {redact(root)}: leave it out"
            raise ConfigurationError(msg)
        return
    if is_loopback(host):
        return
    if insecure_http is None:
        insecure_http = os.environ.get(INSECURE_VARIABLE, "").strip() == "1"
    if not insecure_http:
        advice = f"use https, or allow it in a network that you trust: insecure_http=True or {INSECURE_VARIABLE}=1"
        raise ConfigurationError(f"base_url={redact(root)!r} would send the API key in the clear: {advice}")
    if root not in _insecure:
        _insecure.add(root)
        logger.warning("the API key goes to %s in the clear, as insecure_http allows", redact(root))


def _split(url: str) -> tuple[SplitResult, str]:
    """The parts of a URL and its host, which is empty if there is no usable one."""
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else ""
    except ValueError:
        return SplitResult("", "", "", "", ""), ""
    return parts, host or ""


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own, so that what is sent there stays here."""
    if host == "localhost":  # not its subdomains: whether those stay on this machine is the resolver's choice
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_timeout(timeout: float) -> float:
    """Seconds for one attempt."""
    timeout = plain(timeout)
    if not _is_number(timeout) or not math.isfinite(timeout) or timeout <= 0:
        advice = "a deadline over a whole call is asyncio.timeout(…)"
        raise ConfigurationError(f"timeout={timeout!r}: pass seconds above 0 for one attempt; {advice}")
    return float(timeout)


def read_max_wait(max_wait: float | None) -> float | None:
    """Seconds that a call may wait for points; `None` for as long as it takes."""
    if max_wait is None:
        return None
    max_wait = plain(max_wait)
    if not _is_number(max_wait) or math.isnan(max_wait) or max_wait < 0:
        msg = f"max_wait={max_wait!r}: pass seconds from 0 (fail at once), or None (wait as long as it takes)"
        raise ConfigurationError(msg)
    return None if math.isinf(max_wait) else float(max_wait)


def read_max_outage(max_outage: float | None) -> float | None:
    """Seconds that a call may wait for a service that can not be reached; `None` for as long as it takes."""
    if max_outage is None:
        return None
    max_outage = plain(max_outage)
    if not _is_number(max_outage) or math.isnan(max_outage) or max_outage < 0:
        msg = f"max_outage={max_outage!r}: pass seconds from 0 (do not wait), or None (wait as long as it takes)"
        raise ConfigurationError(msg)
    return None if math.isinf(max_outage) else float(max_outage)


def read_hooks(hooks: Iterable[Hook]) -> tuple[Hook, ...]:
    """The hooks, each once. A hook is an object with some of the methods, none of them `async`."""
    try:
        given = tuple({id(hook): hook for hook in hooks}.values())
    except TypeError:
        raise ConfigurationError(f"hooks={hooks!r} is no list of hooks: pass [{hooks!r}]") from None
    for hook in given:
        methods = [name for name in _HOOK_METHODS if callable(getattr(hook, name, None))]
        if not methods:
            raise ConfigurationError(f"hooks holds {hook!r}, which has none of the methods {', '.join(_HOOK_METHODS)}")
        if isinstance(hook, type) and any(inspect.isfunction(inspect.getattr_static(hook, name)) for name in methods):
            msg = f"hooks holds the class {hook.__name__} and not an object of it: pass {hook.__name__}()"
            raise ConfigurationError(msg)
        for name in methods:
            if inspect.iscoroutinefunction(getattr(hook, name)):
                msg = f"{type(hook).__name__}.{name} is async and would never run: hooks are told by plain methods"
                raise ConfigurationError(msg)
    return given


def require(name: str, value: object, kind: type, *, advice: str) -> None:
    """Check an option's type."""
    if not isinstance(value, kind):
        raise ConfigurationError(f"{name}={shown(value)} is no {kind.__name__}: {advice}")


def require_limiter(limiter: object) -> None:
    """Check that an object has the methods of a limiter."""
    missing = [name for name in _LIMITER_MEMBERS if not callable(getattr(limiter, name, None))]
    if missing:
        advice = "pass a PointBudget(), or anything with a Limiter's methods"
        raise ConfigurationError(f"limiter={shown(limiter)} has no {', '.join(missing)}: {advice}")


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (
        isinstance(value, int) and not isinstance(value, bool) and abs(value) < _TOO_LARGE
    )


def request_headers(key: Secret) -> Mapping[str, str]:
    """What every request carries; the bearer has a silent repr."""
    return {
        "Authorization": Secret(f"Bearer {key}"),
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "User-Agent": f"whereby-async/{__version__}",
    }
