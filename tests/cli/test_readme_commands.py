"""The README's command lines: every `sh` block is run as it stands, against a server over a socket."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_lines import PNG, ROOM
from support.processes import PATIENCE, environment
from support.serving import Served

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(not BLOCKS, reason="the README has no sh blocks")
def test_blocks_run_as_they_stand(tmp_path: Path) -> None:
    """One after another in one directory: each line ends well, and none says a word on stderr."""
    whereby = tmp_path / "bin" / "whereby"
    whereby.parent.mkdir()
    whereby.write_text(f'#!/bin/sh\nexec {sys.executable} -W error -m whereby_async "$@"\n')
    whereby.chmod(0o755)
    place = tmp_path / "place"
    place.mkdir()
    (place / "logo.png").write_bytes(PNG)
    (place / "rooms.csv").write_text("customer,endDate\nacme,2099-01-01T00:00:00Z\nbeta,2099-01-01T00:00:00Z\n")
    with Served() as served:
        served.fake.add_meeting(room_name=ROOM)
        session = served.fake.add_session(ROOM)
        served.fake.add_recording(room_session_id=session["roomSessionId"])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(BLOCKS)],
            cwd=place,
            env=environment(
                **served.variables,
                PATH=f"{whereby.parent}{os.pathsep}{os.environ['PATH']}",
                PYTHONPATH=str(Path(__file__).parents[2]),
            ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=4 * PATIENCE,
            check=False,
            encoding="utf-8",
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert "roomKey=" in done.stdout
    assert (place / "recordings").is_dir()
