"""A Starlette app with slowapi's moving window: a GET costs 1 point, a DELETE 2, a POST 3. A refused call costs nothing.

    python moving_window.py POINTS SECONDS

Prints its port.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

import uvicorn
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

COSTS = {"GET": 1, "DELETE": 2, "POST": 3}


def organisation(request: Request) -> str:
    """All callers share one budget."""
    return "organisation"


def cost(request: Request) -> int:
    """Points of a call."""
    return COSTS[request.method]


def refused(request: Request, error: Exception) -> Response:
    """Slowapi's own answer."""
    assert isinstance(error, RateLimitExceeded)
    return _rate_limit_exceeded_handler(request, error)


def make(points: int, seconds: int) -> Starlette:
    """The app."""
    limiter: Any = Limiter(
        key_func=organisation, strategy="moving-window", headers_enabled=True
    )  # its decorators have no types

    async def answer(request: Request) -> Response:
        return JSONResponse({"results": []})

    limited = limiter.limit(f"{points}/{seconds} seconds", cost=cost)(answer)
    app = Starlette(routes=[Route("/", limited, methods=["GET", "POST", "DELETE"])])
    app.state.limiter = limiter
    app.add_exception_handler(RateLimitExceeded, refused)
    return app


def main() -> None:
    """Serve it on a port that is free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        app = make(int(sys.argv[1]), int(sys.argv[2]))
        config = uvicorn.Config(app, log_level="error", access_log=False, timeout_keep_alive=120)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
