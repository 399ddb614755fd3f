"""The benches run: each with tiny counts, all parts played by this one Python, so that nothing is installed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from support import checkout

if TYPE_CHECKING:
    from pathlib import Path

HERE = {"WHEREBY_BENCH_PYTHON": sys.executable}


def run(*command: str, root: Path = checkout.ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """A bench of a checkout, in a process of its own."""
    return subprocess.run(
        [sys.executable, str(root / "benchmarks" / command[0]), *command[1:]],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env=checkout.clean_environment(**(variables or HERE)),
    )


def cells(printed: str, *names: str) -> list[str]:
    """The one row of a table that begins with these cells."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if line[:2] == "| "]
    (found,) = [row for row in rows if row[: len(names)] == list(names)]
    return found[len(names) :]


def test_call_bench_measures_us_against_the_floor() -> None:
    """Each contestant gets processor time, a ratio to the floor, calls per second, percentiles and memory."""
    names = ("aiohttp + json", "whereby_async", "aiohttp + msgspec")
    quick = shlex.split("--quick --pairs 2 --others 2 --calls 60 --concurrency 50 --transports plain")
    done = run("call.py", "--contestants", *names, "--operations", "get", "create", "--loops", "asyncio", *quick)
    assert done.returncode == 0, done.stderr
    for call in ("GET one, 50 at once, plain", "POST, 50 at once, plain"):
        for name in names:
            cpu, against, rate, p50, p99, resident = cells(done.stdout, call, f"{name}, asyncio")
            assert re.fullmatch(r"\d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", against)
            assert 0 < float(p50) <= float(p99)
            assert min(float(cpu), float(rate), float(resident)) > 0
    assert "CPU of GET one, 50 at once, plain ÷ floor" in done.stdout
    assert "added to aiohttp + msgspec per call" in done.stdout


def test_decode_bench_measures_time_and_memory() -> None:
    """Each decoder gets its time, its ratio to bare msgspec, and what its objects weigh; pydantic's weigh more."""
    names = ("msgspec", "whereby_async", "pydantic")
    done = run("decode.py", "--contestants", *names, "--quick", "--pairs", "2", "--times", "5", "--objects", "1000")
    assert done.returncode == 0, done.stderr
    for page in ("100 meetings", "100 rooms"):
        held = {name: float(cells(done.stdout, page, name)[2]) for name in names}
        assert 0 < held["msgspec"] < held["pydantic"]
        assert held["whereby_async"] < held["pydantic"]
    assert "100,000 meetings held" in done.stdout


def test_import_bench_tells_the_package_from_the_client() -> None:
    """The package alone costs next to nothing; the client costs what aiohttp does."""
    done = run("imports.py", "--quick", "--environments", "whereby-async", "--turns", "1")
    assert done.returncode == 0, done.stderr
    least = {name: float(cells(done.stdout, f"`{name}`")[0]) for name in ("import whereby_async", "import aiohttp")}
    assert 0 < least["import whereby_async"] < least["import aiohttp"]
    assert "from whereby_async import WherebyClient: " in done.stdout


def test_limiter_bench_compares_cost_crowds_and_goodput() -> None:
    """Every limiter gets its figures; ours is never refused on a server that it alone uses."""
    pytest.importorskip("aiolimiter", reason="the peer is in the extra `bench`")
    names = ("aiolimiter", "whereby_async")
    quick = ("--quick", "--pairs", "2", "--waiters", "50", "--points", "1200", "--servers", "fixed")
    done = run("limiter_peers.py", "--contestants", *names, *quick)
    assert done.returncode == 0, done.stderr
    for name in names:
        _, events, _, _, size = cells(done.stdout, "50", name)
        assert float(events) >= 1
        assert float(size) > 500
    goodput = done.stdout.partition("simulated: seconds")[2]
    seconds, _, throttled = cells(goodput, "whereby_async")[0].partition(" s, ")
    assert 60 <= float(seconds) < 65
    assert throttled == "0"


def test_a_limiter_that_takes_too_long_is_given_up() -> None:
    """The others' figures are not lost with it."""
    pytest.importorskip("aiolimiter", reason="the peer is in the extra `bench`")
    quick = shlex.split("--quick --pairs 2 --waiters 5000 --points 1200 --servers fixed --patience 0.05")
    done = run("limiter_peers.py", "--contestants", "aiolimiter", *quick)
    assert done.returncode == 0, done.stderr
    assert cells(done.stdout, "5,000", "aiolimiter")[0].startswith("gave up")


def test_all_writes_a_table_and_a_chart_for_light_and_dark(tmp_path: Path) -> None:
    """What was asked for is written: Markdown with the targets, and an SVG whose bars follow the reader's colours."""
    table, chart = tmp_path / "table.md", tmp_path / "chart.svg"
    done = run("all.py", "--quick", "--only", "queued", "--table", str(table), "--svg", str(chart))
    assert done.returncode == 0, done.stderr
    printed = table.read_text("utf-8")
    assert re.search(r"a queued call with its task .* ≤ 4 KB .* \d+ bytes", printed)
    (bare,), (call,) = cells(printed, "a bare future"), cells(printed, "meetings.get")
    assert 0 < float(bare) < float(call)
    root = ET.fromstring(chart.read_text("utf-8"))
    bars = root.findall(".//{http://www.w3.org/2000/svg}rect")
    assert len(bars) >= 3
    assert [bar.get("class") for bar in bars].count("ours") == 1
    assert "prefers-color-scheme: dark" in chart.read_text("utf-8")


def test_generated_client_is_skipped_without_the_reference(tmp_path: Path) -> None:
    """A checkout that has no official reference beside it says so, and measures the others."""
    place = checkout.copy_to(tmp_path / "checkout")
    quick = ("--quick", "--pairs", "2", "--times", "2", "--objects", "100")
    done = run("decode.py", "--contestants", "msgspec", "openapi-python-client", *quick, root=place)
    assert done.returncode == 0, done.stderr
    assert "openapi-python-client was skipped: the official reference" in done.stdout
    assert float(cells(done.stdout, "100 rooms", "msgspec")[0]) > 0


@pytest.mark.install
def test_a_missing_peer_fails_the_bench(tmp_path: Path) -> None:
    """What can not be installed is named, and the exit code is 1."""
    done = run("queued.py", WHEREBY_BENCH_CACHE=str(tmp_path), PIP_NO_INDEX="1")
    assert done.returncode == 1
    assert "a peer is missing: aiohttp" in done.stderr


def test_servers_bench_says_what_is_missing() -> None:
    """Without Node.js nothing is measured of the servers that need it, and nothing has failed."""
    done = run("limiter_servers.py", "--only", "rate-limiter", PATH="")
    assert done.returncode == 0, done.stderr
    assert "rate-limiter-flexible, memory, Reset a date, 100 per 4 s is skipped: npm is not on the PATH" in done.stdout
