"""The way to the network: `SessionPool`, `RetryPolicy`, and what one attempt is made of."""

from __future__ import annotations

from .exchange import SUCCESS, Answer, Exchange
from .pool import SessionPool
from .retry import RetryBudget, RetryPolicy
from .storage import Storage, StorageAnswer

__all__ = ["SUCCESS", "Answer", "Exchange", "RetryBudget", "RetryPolicy", "SessionPool", "Storage", "StorageAnswer"]
