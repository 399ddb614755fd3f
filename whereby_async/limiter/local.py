"""`PointBudget`: the in-process budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .options import check_budget, checked_pins
from .redis.present.costs import Prices
from .redis.present.present_account import PresentAccount
from .redis.present.present_ledger import PresentLedger
from .redis.present.process import ProcessLimiter
from .redis.present.reserve import Reserve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .listeners import Listeners


class PointBudget(ProcessLimiter):
    """The organisation's points per minute, kept in this process.

    One object serves all threads and loops of the process and a forked child, which starts cold; it is made without a loop.
    It believes the server's headers, needs none of them to be safe, and tells who else spends from the same budget.

    `snapshot().limit` shows 100, the smallest plan, until two answers in a row agree on a higher limit, since headers get
    garbled; a lower one counts at once. `limit=` starts from what you know.

    A batch leaves a reserve: of each window as many points as calls of the other lanes are likely to want until its end, a
    tenth of the limit at most (`reserve=`), are kept from the `BATCH` lane, and given to it towards the end. So people hardly
    wait while a batch spends.

    Prices belong to operations. A list whose price depends on its page size is charged what its dearer calls were seen to
    cost; pin it with `costs` if you know better.
    """

    def __init__(
        self,
        limit: int | None = None,
        *,
        period: float = 60.0,
        costs: Mapping[str, int] | None = None,
        reserve: float = 0.1,
    ) -> None:
        """Make a budget.

        Args:
            limit: Points per period to start from; the header `X-RateLimit-Limit` overrules it. `None` learns it from that
                header, and assumes 100, the smallest plan, until then.
            period: The window's length in seconds.
            costs: Prices by operation, such as `{"insights.rooms": 5}`, that are never learned otherwise.
            reserve: The share of each window, from 0 to below 1, that is kept from the `BATCH` lane at most: what the other
                lanes need by what they asked for of late, melting to nothing by the window's end.

        Raises:
            ConfigurationError: An option cannot be used.
        """
        check_budget(limit, period, reserve)
        pins = checked_pins(costs)

        def open_account(clock: Callable[[], float], listeners: Listeners) -> PresentAccount:
            return PresentAccount(
                PresentLedger(limit, period), Prices(pins), Reserve(reserve, period), clock, listeners
            )

        super().__init__(open_account)
