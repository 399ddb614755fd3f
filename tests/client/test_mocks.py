"""Mocks of a client by `unittest.mock`, made from its class or from an object of it."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from whereby_async import WherebyClient
from whereby_async.resources import Insights, Meetings, Recordings, Rooms, Summaries, Transcriptions

RESOURCES = {kind.__name__.lower(): kind for kind in (Insights, Meetings, Recordings, Rooms, Summaries, Transcriptions)}


@pytest.mark.anyio
@pytest.mark.parametrize("made_by", ["create_autospec", "an instance", "patch"])
async def test_mocks_with_a_spec_have_the_methods_of_all_resources(made_by: str) -> None:
    """With their signatures, and awaited where ours are."""
    with mock.patch("whereby_async.WherebyClient", autospec=True) as patched:
        make: Any = patched if made_by == "patch" else mock.create_autospec(WherebyClient)
        double = mock.create_autospec(WherebyClient("key"), instance=True) if made_by == "an instance" else make("key")
    for name, kind in RESOURCES.items():
        assert {method for method in vars(kind) if not method.startswith("_")} <= set(dir(getattr(double, name)))
    double.meetings.get.return_value = "a meeting"
    assert await double.meetings.get("1") == "a meeting"
    double.meetings.get.assert_awaited_once_with("1")
    with pytest.raises(TypeError, match="missing a required argument"):
        double.meetings.get()
    with pytest.raises(AttributeError):
        _ = double.meetings.gte
