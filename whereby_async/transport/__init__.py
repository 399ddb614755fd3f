"""The way to the network: `SessionPool`, `RetryPolicy`, and what one attempt is made of."""

from __future__ import annotations

from .exchange import Answer, Exchange
from .pool import SessionPool
from .retry import RetryBudget, RetryPolicy

__all__ = ["Answer", "Exchange", "RetryBudget", "RetryPolicy", "SessionPool"]
