"""What came of one item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

NOT_KEPT: Final = object()
"""In place of a result that the journal does not keep."""

OutcomeState: TypeAlias = Literal["ok", "failed", "unknown"]
"""`ok`: done. `failed`: it surely did nothing, or may be repeated. `unknown`: a create that may or may not have happened."""


class Outcome(Generic[T]):
    """What came of one item of a batch. Its repr shows neither the request nor the result.

    Attributes:
        index: The item's place in the input, from 0.
        key: What the journal knows it by: what `key=` gave, else the index as text.
        item: The item as the input gave it.
        state: `ok`, `failed` or `unknown`.
        error: Why it failed, or is unknown; `None` if it is done.
        resumed: It was finished by an earlier run of the same journal; nothing was sent for it now (unless `refetch=True`).
        adopted: Its answer had been lost, and the room that it made was found in the list.
    """

    __slots__ = ("_result", "adopted", "error", "index", "item", "key", "resumed", "state")

    def __init__(  # noqa: PLR0913 - a record
        self,
        index: int,
        key: str,
        item: Mapping[str, Any],
        *,
        state: OutcomeState = "ok",
        result: object = None,
        error: Exception | None = None,
        resumed: bool = False,
        adopted: bool = False,
    ) -> None:
        self.index: int = index
        self.key: str = key
        self.item: Mapping[str, Any] = item
        self.state: OutcomeState = state
        self.error: Exception | None = error
        self.resumed: bool = resumed
        self.adopted: bool = adopted
        self._result = result

    @property
    def ok(self) -> bool:
        """Whether it is done."""
        return self.state == "ok"

    @property
    def result(self) -> T:
        """What the call returned.

        Of a resumed item it is what the journal knows, ids only: `Meeting(meeting_id=…)` and nothing else in it. Pass
        `refetch=True` to the batch for the whole, room links included.

        Raises:
            Exception: The item's own `error`, if it is not done.
            LookupError: The item was resumed, and the journal does not keep results of this kind.
        """
        if self.error is not None:
            raise self.error
        if self._result is NOT_KEPT:
            msg = (
                f"item {self.key!r} was done by an earlier run, whose result the journal does not keep: "
                "pass refetch=True to read it again"
            )
            raise LookupError(msg)
        return cast("T", self._result)

    def __repr__(self) -> str:
        notes = "".join(f", {word}" for word in ("resumed", "adopted") if getattr(self, word))
        error = "" if self.error is None else f", {type(self.error).__name__}"
        return f"<Outcome {self.index} {self.key!r}: {self.state}{error}{notes}>"
