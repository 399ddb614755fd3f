"""The way to the network: `SessionPool`, and what one attempt of a call or one download is made of."""

from __future__ import annotations

from ..retry import RetryBudget, RetryPolicy
from .exchange import SUCCESS, Answer, Exchange
from .pool import SessionPool
from .reachability import GATEWAY_FAILURES, LONGEST_PROBE, Reachability, ReachabilitySnapshot
from .storage import Storage, StorageAnswer

__all__ = ["GATEWAY_FAILURES", "LONGEST_PROBE", "SUCCESS", "Answer", "Exchange", "Reachability", "ReachabilitySnapshot"]
__all__ += ["RetryBudget", "RetryPolicy", "SessionPool", "Storage", "StorageAnswer"]
