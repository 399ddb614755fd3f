from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, strategies as st

from whereby_async.operation import FilePart, Operation
from whereby_async.redaction import SilentBytes

GET: Operation[Any] = Operation("things.get", "GET", "/things/{thing_id}", lambda body: body)
TEXT = st.text(st.characters(codec="utf-8"))


def test_reprs_show_no_value() -> None:
    """Neither the id, nor the query, nor a body, nor a file shows."""
    part = FilePart("image", "image.png", "image/png", SilentBytes(b"planted"))
    request = GET.bind({"thing_id": "planted"}, query=[("a", "planted")], json=SilentBytes(b"planted"), files=[part])
    assert repr(GET) == "<things.get: GET /things/{thing_id}>"
    assert repr(request) == "<request things.get>"
    assert repr(part) == "FilePart('image', 'image.png', 'image/png', <7 bytes>)"


def test_prices_and_repetition_follow_the_method_unless_said() -> None:
    """GET 1, DELETE 2, others 3; POST and PATCH are not idempotent; both can be said."""
    rows = {m: Operation(m, m, "/x", bytes) for m in ("GET", "HEAD", "OPTIONS", "DELETE", "PUT", "POST", "PATCH")}
    assert [row.cost for row in rows.values()] == [1, 1, 1, 2, 3, 3, 3]
    assert [name for name, row in rows.items() if not row.idempotent] == ["POST", "PATCH"]
    said = Operation("x", "POST", "/x", bytes, cost=9, idempotent=True)
    assert (said.cost, said.idempotent) == (9, True)


def test_with_query_replaces_adds_and_leaves_out() -> None:
    """The other values keep their order; the path, the bodies and the first request stay as they were."""
    first = GET.bind({"thing_id": "1"}, query=[("a", "1"), ("b", "2"), ("c", "3")], json=SilentBytes(b"{}"))
    second = first.with_query(b=None, a="x", d="y")
    assert second.target == "/things/1?c=3&a=x&d=y"
    assert second.json == b"{}"
    assert first.target == "/things/1?a=1&b=2&c=3"
    assert first.with_query(a=None, b=None, c=None).target == "/things/1"


@given(st.lists(st.tuples(TEXT.filter(bool), TEXT), max_size=5))
def test_a_query_arrives_as_it_was_given(pairs: list[tuple[str, str]]) -> None:
    """Whatever the names and values, a server that splits at `&` and `=` reads the same; spaces are `%20`."""
    target = GET.bind({"thing_id": "1"}, query=pairs).target
    path, _, query = target.partition("?")
    assert path == "/things/1"
    assert target.isascii()
    assert "+" not in query
    assert "#" not in query
    assert "/" not in query
    assert parse_qsl(query, keep_blank_values=True) == pairs


def test_an_encoded_query_is_not_taken_for_another() -> None:
    """What was encoded before is used again only for the very same pairs, in the same order."""
    queries = [
        [("a", "b"), ("c", "d")],
        [("c", "d"), ("a", "b")],
        [("a", "b&c=d")],
        [("a", "b"), ("a", "b")],
        [("ab", "")],
        [("a", "\u00e9")],
        [("a", "e\u0301")],
        [("a", "\U0001f600 \x00\x7f\r\n%41+")],
    ]
    for _ in range(2):
        for pairs in queries:
            _, _, query = GET.bind({"thing_id": "1"}, query=pairs).target.partition("?")
            assert parse_qsl(query, keep_blank_values=True) == pairs
    one, two = (GET.bind({"thing_id": each}, query=[("a", "b")]) for each in ("1", "2"))
    assert (one.target, two.target) == ("/things/1?a=b", "/things/2?a=b")


def test_the_placeholder_is_filled_wherever_it_stands() -> None:
    """At the end or within, and a value that looks like a placeholder stays as it is."""
    for path, filled in {"/a/{x}": "/a/{y}", "/a/{x}/b": "/a/{y}/b", "{x}/b": "{y}/b"}.items():
        operation = Operation("x", "GET", path, bytes)
        assert operation.bind({"x": "{y}"}).path == filled
        assert operation.bind().path == path
    with pytest.raises(KeyError):
        GET.bind({"other": "1"})
