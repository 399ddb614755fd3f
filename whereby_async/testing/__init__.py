"""The test kit: a Whereby of one's own to develop and test against, over real sockets.

```python
from whereby_async.testing import FakeWhereby, Fault

async with FakeWhereby(limit=100) as fake, fake.client() as whereby:
    fake.add_recording(room_name="/standup")  # fill its world
    fake.faults.add(Fault(status=503))  # the next request fails
    with fake.spends(at_most=2, throttled=0):  # what the code costs in points
        recordings = await whereby.recordings.list().collect()
```

- `FakeWhereby` has all operations and enforces points; `FakeWhereby.away` takes it away for a while; `Fault` scripts
  what goes wrong in HTTP, `TcpProxy` and `TcpFault` what goes wrong below.
- `FakeWhereby.events` and `WebhookSender` make, sign and deliver webhooks.
- `@simulated` lets the minutes of an async test pass in milliseconds, client and server in one `SimulatedLoop`;
  `run_simulated(main())` is `asyncio.run` in one. A simulation that would wait for ever raises
  `SimulatedDeadlockError`.
- The pytest plugin `whereby_async.testing.pytest_plugin`, there as soon as this package is installed, gives the
  fixtures `fake_whereby` and `whereby_client`, and the marker `whereby`.

Names are imported on first use.
"""

from __future__ import annotations

import importlib

# Not typing's, whose import would cost a test run that needs none of this; without `bool`, Jedi would complete nothing.
TYPE_CHECKING: bool = False
if TYPE_CHECKING:
    from .checks import Latency
    from .clock import SimulatedDeadlockError, SimulatedLoop, run_simulated, simulated
    from .fake import FAKE_API_KEY, FakeWhereby
    from .faults import Fault, FaultPlan, UnusedFaultWarning
    from .policies import Algorithm, HeaderStyle
    from .requests import RecordedRequest, UploadedFile
    from .spending import Charge, Spending
    from .tcp import TcpFault, TcpFaultPlan, TcpPoint, TcpProxy
    from .webhook_sender import FAKE_WEBHOOK_SECRET, Delivery, DeliveryAttempt, Events, WebhookSender
    from .world.recordings import StorageType
    from .world.state import Backdrop, Moment, RoomTheme
    from .world.transcriptions import JobState

__all__ = [
    "FAKE_API_KEY",
    "FAKE_WEBHOOK_SECRET",
    "Algorithm",
    "Backdrop",
    "Charge",
    "Delivery",
    "DeliveryAttempt",
    "Events",
    "FakeWhereby",
    "Fault",
    "FaultPlan",
    "HeaderStyle",
    "JobState",
    "Latency",
    "Moment",
    "RecordedRequest",
    "RoomTheme",
    "SimulatedDeadlockError",
    "SimulatedLoop",
    "Spending",
    "StorageType",
    "TcpFault",
    "TcpFaultPlan",
    "TcpPoint",
    "TcpProxy",
    "UnusedFaultWarning",
    "UploadedFile",
    "WebhookSender",
    "run_simulated",
    "simulated",
]

_HOMES = {
    "checks": "Latency",
    "clock": "SimulatedDeadlockError SimulatedLoop run_simulated simulated",
    "fake": "FAKE_API_KEY FakeWhereby",
    "faults": "Fault FaultPlan UnusedFaultWarning",
    "policies": "Algorithm HeaderStyle",
    "requests": "RecordedRequest UploadedFile",
    "spending": "Charge Spending",
    "tcp": "TcpFault TcpFaultPlan TcpPoint TcpProxy",
    "webhook_sender": "Delivery DeliveryAttempt Events FAKE_WEBHOOK_SECRET WebhookSender",
    "world.recordings": "StorageType",
    "world.state": "Backdrop Moment RoomTheme",
    "world.transcriptions": "JobState",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if (home := _HOME_OF.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
