"""The npm packages of the JavaScript servers, installed by name into a folder of the system's temporary directory.

The folder is named after the packages and their versions and is kept, so only the first run installs. A failed install is
remembered for ten minutes, so a machine without a registry skips these tests quickly.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from .processes import Unavailable

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

PACKAGES = (
    "express@5.3.0",
    "rate-limiter-flexible@11.4.0",
    "ioredis@5.8.2",
    "fastify@5.12.8",
    "@fastify/rate-limit@10.3.0",
)
PATIENCE = 60.0
"""Seconds that an install may take."""
_REMEMBERED = 600.0


def node() -> str:
    """The path of Node.js."""
    found = shutil.which("node")
    if not found:
        raise Unavailable("node is not on the PATH")
    return found


@functools.cache
def modules() -> Path:
    """The `node_modules` folder that holds the packages."""
    npm = shutil.which("npm")
    if not npm:
        raise Unavailable("npm is not on the PATH")
    if fcntl is None:
        raise Unavailable("the npm packages are shared between processes by flock, which this system does not have")
    key = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:12]
    place = Path(tempfile.gettempdir()) / f"whereby-async-servers-{os.getuid()}-{key}"
    place.mkdir(mode=0o700, exist_ok=True)
    if place.stat().st_uid != os.getuid():
        raise Unavailable(f"{place} belongs to another user")
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "installed").exists():
            _install(npm, place)
    return place / "node_modules"


def _install(npm: str, place: Path) -> None:
    failed = place / "failed"
    if failed.exists() and time.time() - failed.stat().st_mtime < _REMEMBERED:
        raise Unavailable(f"npm install failed a moment ago: {failed.read_text()}")
    flags = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--loglevel=error")
    quick = ("--fetch-retries=2", "--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=2000")
    (place / "package.json").write_text('{"private": true}')
    try:
        subprocess.run(
            [npm, "install", *flags, *quick, *PACKAGES],
            cwd=place,
            check=True,
            timeout=PATIENCE,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(getattr(error, "stderr", None) or error).strip().partition("\n")[0][:300]
        failed.write_text(reason)
        raise Unavailable(f"npm install failed: {reason}") from error
    (place / "installed").touch()
