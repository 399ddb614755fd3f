"""Where people run it: forks and pools, web servers' workers, sentinels."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from support.fleet import Store, environment, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.fleet import Fleet, Yard

PERIOD = 1.0


@pytest.fixture
def world(yard: Yard, store: Store) -> Any:
    """The API and a store, for programs that are no workers: what they have to be told."""
    where = yard.api().ask("open", limit=30, period=PERIOD, latency=0.01)
    name = f"home{time.monotonic_ns()}"
    return {"store": store.url, "name": name, "period": PERIOD, "api": where["url"], "key": where["key"]}


def test_a_pool_of_forked_workers_with_a_loop_for_each_task(world: Any, yard: Yard) -> None:
    """As task queues run them: one `asyncio.run` after the other in children of a process that has used the budget."""
    done = subprocess.run(
        [sys.executable, "-m", "support.fleet_homes"],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env=environment(FLEET_PLAN=json.dumps({**world, "tasks": 9})),
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    seen = yard.api().ask("look")
    assert len(said["tasks"]) == 9
    assert len({pid for pid, _ in said["tasks"]}) == 3
    assert {state for _, state in said["tasks"]} <= {"open", "empty"}
    assert said["parent"] in {"open", "empty"}
    assert (seen["throttled"], seen["calls"]) == (0, 9 * 5 + 3 * 3)


SERVERS = {
    "uvicorn": ["uvicorn", "support.fleet_homes:app", "--workers", "2", "--log-level", "warning", "--port"],
    "gunicorn": [
        *(
            "gunicorn",
            "support.fleet_homes:app",
            "--worker-class",
            "asgi",
            "--workers",
            "2",
            "--preload",
            "--log-level",
            "error",
        ),
        "--bind",
    ],
}


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, world: dict[str, Any], tmp_path: Path) -> Iterator[str]:
    """The application behind a web server with two workers; its URL."""
    port = free_port()
    module, *words = SERVERS[request.param]
    with subprocess.Popen(
        [sys.executable, "-m", module, *words, str(port) if module == "uvicorn" else f"127.0.0.1:{port}"],
        env=environment(FLEET_PLAN=json.dumps(world)),
        cwd=tmp_path,
        start_new_session=True,
    ) as server:
        try:
            url = f"http://127.0.0.1:{port}/"
            _wait_for(url)
            yield url
            server.terminate()
            server.wait(timeout=20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


def _get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        said: dict[str, Any] = json.load(answer)
        return said


def _wait_for(url: str) -> None:
    ends = time.monotonic() + 30
    while True:
        try:
            _get(url)
        except OSError:
            assert time.monotonic() < ends
            time.sleep(0.05)
        else:
            return


def test_workers_of_a_web_server_share_the_budget(site: str, yard: Yard) -> None:
    """Requests to two workers, more than a window holds: all are served, none is refused by the API."""
    with ThreadPoolExecutor(16) as visitors:
        said = list(visitors.map(_get, [site] * 60))
    assert len({each["pid"] for each in said}) == 2
    assert {each["state"] for each in said} <= {"open", "empty"}
    assert yard.api().ask("look")["throttled"] == 0


def _raw(plain: Any, *words: str) -> bytes:
    answer = plain.execute_command(*words)
    return answer if isinstance(answer, bytes) else repr(answer).encode()


def _until(condition: Callable[[], bool], patience: float = 30.0) -> None:
    ends = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.long
def test_a_sentinel_client_follows_a_failover(fleet: Callable[..., Fleet], tmp_path: Path, kind: str) -> None:
    """The primary is killed, a replica takes over: calls go on by their shares meanwhile, and no 429 comes of it."""
    with (
        Store(tmp_path / "one", kind=kind) as one,
        Store(tmp_path / "two", "--replicaof", "127.0.0.1", str(one.port), kind=kind) as two,
    ):
        conf = tmp_path / "sentinel.conf"
        conf.write_text(
            f"sentinel monitor main 127.0.0.1 {one.port} 1\nsentinel down-after-milliseconds main 500\n"
            "sentinel failover-timeout main 3000\n"
        )
        with two.client() as plain:
            _until(lambda: plain.info("replication")["master_link_status"] == "up")
        with Store(tmp_path / "sentinel", str(conf), "--sentinel", kind=kind) as sentinel:
            with sentinel.client() as plain:
                _until(lambda: str(two.port).encode() in _raw(plain, "SENTINEL", "REPLICAS", "main"))
            crew = fleet(2, url=f"sentinel://127.0.0.1:{sentinel.port}/main", limit=60, period=PERIOD)
            crew.ask("saturate", callers=4)
            crew.windows(2)
            one.kill()
            crew.until_all("degraded")
            crew.until_all("degraded", reached=False, patience=60)
            crew.windows(2)
            said = crew.stop()
            seen = crew.look()
            crew.close()
    assert seen["throttled"] == 0
    assert [[away for away, *_ in each["outages"]] for each in said] == [[True, False]] * 2
