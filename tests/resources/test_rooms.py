from __future__ import annotations

import io
from typing import TYPE_CHECKING, cast

import pytest

from whereby_async.testing import Backdrop, Fault

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from whereby_async import WherebyClient
    from whereby_async.resources import ImageSource
    from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
LARGEST = 600_000

IMAGES = [
    (PNG, "image.png", "image/png"),
    (b"\xff\xd8\xff\xe0 jfif", "image.jpg", "image/jpeg"),
    (b"GIF89a", "image.gif", "image/gif"),
    (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image.webp", "image/webp"),
    (b'\n <svg xmlns="http://www.w3.org/2000/svg"/>', "image.svg", "image/svg+xml"),
    (b'\xef\xbb\xbf<?xml version="1.0"?><svg/>', "image.svg", "image/svg+xml"),
]


@pytest.mark.parametrize(
    ("room_name", "path"),
    [
        ("/demo", "demo"),
        ("demo", "demo"),
        ("/a b", "a%20b"),
        ("/ä%2F?#&", "%C3%A4%252F%3F%23%26"),
        ("/a:b@c;d=e+f~g", "a%3Ab%40c%3Bd%3De%2Bf~g"),
        ("/...", "..."),
    ],
)
async def test_a_room_name_is_one_segment_without_its_slash(
    room_name: str, path: str, fake: FakeWhereby, whereby: WherebyClient
) -> None:
    """One leading slash is dropped and the rest encoded with no character kept as safe."""
    await whereby.rooms.set_theme_tokens(room_name, primary="#0a2540")
    assert fake.requests[0].target == f"/v1/rooms/{path}/theme/tokens"
    assert fake.theme(room_name).primary == "#0a2540"


async def test_theme_tokens_are_custom_and_only_those_given(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """The colours given are sent under the preset `custom`; resetting sends `default`."""
    await whereby.rooms.set_theme_tokens("/demo", primary="#0A2540", focus="#ffffff")
    await whereby.rooms.set_theme_tokens("/demo", secondary="#000000", extra={"x": 1})
    await whereby.rooms.reset_theme_tokens("/demo")
    assert [request.json for request in fake.requests] == [
        {"tokensPreset": "custom", "tokens": {"colors": {"primary": "#0A2540", "focus": "#ffffff"}}},
        {"tokensPreset": "custom", "tokens": {"colors": {"secondary": "#000000"}}, "x": 1},
        {"tokensPreset": "default"},
    ]
    assert {request.method for request in fake.requests} == {"PUT"}
    assert fake.theme("/demo").primary is None


async def test_theme_tokens_of_tomorrow_go_in_as_extra(fake: FakeWhereby, whereby: WherebyClient) -> None:
    await whereby.rooms.set_theme_tokens("/demo", extra={"tokens": {"colors": {"new": "#000000"}}})
    assert fake.requests[0].json == {"tokensPreset": "custom", "tokens": {"colors": {"new": "#000000"}}}


@pytest.mark.parametrize(
    ("image", "filename", "content_type"), IMAGES, ids=[row[1] + str(len(row[0])) for row in IMAGES]
)
async def test_an_image_goes_out_as_multipart(
    image: bytes, filename: str, content_type: str, fake: FakeWhereby, whereby: WherebyClient
) -> None:
    """The one part is called `image`, whole, with its media type and a file name that tells nothing of ours."""
    await whereby.rooms.set_logo("/demo", image)
    (request,) = fake.requests
    (part,) = request.files
    assert request.target == "/v1/rooms/demo/theme/logo"
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert (part.field, part.filename, part.content_type, part.content) == ("image", filename, content_type, image)
    assert fake.theme("/demo").logo == image


async def test_an_image_may_be_a_path(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """A path, as text or as an object; the local name is not told."""
    path = tmp_path / "my secret file.png"
    path.write_bytes(PNG)
    for source in (path, str(path)):
        await whereby.rooms.set_logo("/demo", source)
    assert [request.files[0].content for request in fake.requests] == [PNG, PNG]
    assert not any(b"secret" in request.body for request in fake.requests)


async def test_an_image_may_be_an_open_file(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """A binary file is read from where it stands to its end, and stays open."""
    path = tmp_path / "logo.png"
    path.write_bytes(b"before" + PNG)
    with path.open("rb") as file:
        file.seek(6)
        await whereby.rooms.set_logo("/demo", file)
        assert not file.closed
    await whereby.rooms.set_logo("/demo", io.BytesIO(PNG))
    assert [request.files[0].content for request in fake.requests] == [PNG, PNG]


@pytest.mark.parametrize("kind", [bytearray, memoryview])
async def test_an_image_may_be_any_bytes(
    kind: type[bytearray | memoryview], fake: FakeWhereby, whereby: WherebyClient
) -> None:
    await whereby.rooms.set_logo("/demo", cast("ImageSource", kind(PNG)))
    assert fake.theme("/demo").logo == PNG


async def test_a_retry_sends_the_image_whole(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """An upload from a file is read once, so that its second attempt holds all of it."""
    fake.faults.add(Fault(drop="before"), Fault(status=503, headers={"Retry-After": "0"}))
    await whereby.with_options().rooms.set_logo("/demo", cast("BinaryIO", io.BytesIO(PNG)))
    assert [request.files[0].content for request in fake.requests] == [PNG, PNG, PNG]


async def test_extra_of_an_upload_is_form_fields(fake: FakeWhereby, whereby: WherebyClient) -> None:
    await whereby.rooms.set_logo("/demo", PNG, extra={"fit": "cover ü"})
    await whereby.rooms.set_background("/demo", PNG, extra={"blur": True, "left": None})
    assert [request.form for request in fake.requests] == [{"fit": "cover ü"}, {"blur": "true"}]
    assert [request.query for request in fake.requests] == [(), ()]


async def test_reset_logo_sends_the_default_theme(fake: FakeWhereby, whereby: WherebyClient) -> None:
    await whereby.rooms.set_logo("/demo", PNG)
    await whereby.rooms.reset_logo("/demo", extra={"x": 1})
    assert fake.requests[1].json == {"theme": "default", "x": 1}
    assert fake.theme("/demo").logo is None


async def test_backgrounds_are_images_or_built_in(fake: FakeWhereby, whereby: WherebyClient) -> None:
    rooms = whereby.rooms
    for set_one, reset in (
        (rooms.set_background, rooms.reset_background),
        (rooms.set_knock_background, rooms.reset_knock_background),
    ):
        await set_one("/demo", PNG)
        await set_one("/demo", palette="grey")
        await set_one("/demo", theme="rocks", extra={"x": None})
        await set_one("/demo", palette="purple", theme="characters")
        await reset("/demo", extra={"x": 1})
    room, knock = fake.requests[:5], fake.requests[5:]
    assert {request.target for request in room} == {"/v1/rooms/demo/theme/room-background"}
    assert {request.target for request in knock} == {"/v1/rooms/demo/theme/room-knock-page-background"}
    for requests in (room, knock):
        assert requests[0].files[0].content == PNG
        assert [request.json for request in requests[1:]] == [
            {"palette": "grey"},
            {"theme": "rocks", "x": None},
            {"palette": "purple", "theme": "characters"},
            {"palette": "default", "theme": "default", "x": 1},
        ]
    assert fake.theme("/demo").background == Backdrop(palette="default", theme="default")


async def test_the_largest_background_goes_through(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """600 kB are allowed; a logo has no such bound."""
    image = PNG.ljust(LARGEST, b"0")
    (tmp_path / "image").write_bytes(image)
    await whereby.rooms.set_background("/demo", tmp_path / "image")
    await whereby.rooms.set_logo("/demo", image + b"0")
    assert [len(request.files[0].content) for request in fake.requests] == [LARGEST, LARGEST + 1]
