"""The test kit: a Whereby of one's own to develop and test against, over real sockets.

```python
from whereby_async.testing import FakeWhereby

async with FakeWhereby(limit=100) as fake, fake.client() as whereby:
    fake.add_recording(room_name="/standup")
    recordings = await whereby.recordings.list().collect()
```

Minutes pass in milliseconds in a `SimulatedLoop`; `run_simulated(main())` is `asyncio.run` in one. Client and server may both live
in it: points come back, deadlines pass and windows turn at once, and always the same way. A simulation that would wait for ever
raises `SimulatedDeadlockError`.
"""

from __future__ import annotations

from .budget import Algorithm
from .clock import SimulatedDeadlockError, SimulatedLoop, run_simulated
from .fake import FAKE_API_KEY, FakeWhereby
from .faults import Fault, FaultPlan
from .headers import HeaderStyle
from .media import JobState, StorageType
from .requests import RecordedRequest, UploadedFile
from .state import Backdrop, Moment, RoomTheme
from .tcp_faults import TcpFault, TcpFaultPlan, TcpPoint
from .tcp_proxy import TcpProxy

__all__ = [
    "FAKE_API_KEY",
    "Algorithm",
    "Backdrop",
    "FakeWhereby",
    "Fault",
    "FaultPlan",
    "HeaderStyle",
    "JobState",
    "Moment",
    "RecordedRequest",
    "RoomTheme",
    "SimulatedDeadlockError",
    "SimulatedLoop",
    "StorageType",
    "TcpFault",
    "TcpFaultPlan",
    "TcpPoint",
    "TcpProxy",
    "UploadedFile",
    "run_simulated",
]
