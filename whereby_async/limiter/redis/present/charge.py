"""`Charge`: what the ledger knows of one granted call. Pure."""

from __future__ import annotations

import msgspec


class Charge(msgspec.Struct, eq=False, gc=False):
    """One granted call.

    Attributes:
        cost: Points.
        granted_at: When.
        arrived: Points of calls that had ended by then and surely reached the server before it, ever.
    """

    cost: int
    granted_at: float
    arrived: int
