"""`room_link`: a room's address with the parameters that Whereby documents for it.

Source: "Using URL parameters" (Customizing rooms) in the Whereby docs, as of July 2025; each name there is a keyword here, in
snake_case. Nothing is logged, and errors never show what stands behind the link's path: it may be a `roomKey`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..redaction import SilentDict, as_secret, silent
from .addresses import checked, joined, names_on
from .parameters import CAMERA_EFFECTS, ROOM_LANGUAGES, CameraEffect, RoomLanguage, Switch, pairs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

__all__ = ["CAMERA_EFFECTS", "ROOM_LANGUAGES", "CameraEffect", "RoomLanguage", "Switch", "room_link"]


def room_link(  # noqa: PLR0913 - the docs have 47 parameters; all are read at once, by locals()
    room_url: str,
    *,
    display_name: str | None = None,
    lang: RoomLanguage | None = None,
    external_id: str | UUID | None = None,
    metadata: str | None = None,
    avatar_url: str | None = None,
    groups: Iterable[str] | None = None,
    aec: Switch | None = None,
    agc: Switch | None = None,
    audio: Switch | None = None,
    audio_denoiser: Switch | None = None,
    auto_hide_self_view: Switch | None = None,
    auto_spotlight: Switch | None = None,
    background: Switch | None = None,
    bottom_toolbar: Switch | None = None,
    breakout: Switch | None = None,
    call_quality_monitoring: Switch | None = None,
    camera_access: Switch | None = None,
    camera_effect: CameraEffect | None = None,
    chat: Switch | None = None,
    chat_download: Switch | None = None,
    float_self: Switch | None = None,
    highlight_active_speaker: Switch | None = None,
    leave_button: Switch | None = None,
    localization: Switch | None = None,
    locking: Switch | None = None,
    logo: Switch | None = None,
    low_data: Switch | None = None,
    minimal: Switch | None = None,
    more_button: Switch | None = None,
    participant_count: Switch | None = None,
    people: Switch | None = None,
    pip_button: Switch | None = None,
    precall_ceremony: Switch | None = None,
    precall_ceremony_can_skip: Switch | None = None,
    precall_permission_help_link: str | None = None,
    precall_review: Switch | None = None,
    room_integrations: Switch | None = None,
    screenshare: Switch | None = None,
    settings_button: Switch | None = None,
    skip_media_permission_prompt: Switch | None = None,
    subgrid_labels: Switch | None = None,
    timer: Switch | None = None,
    toolbar_dark_text: Switch | None = None,
    toolbar_text: Switch | None = None,
    top_toolbar: Switch | None = None,
    video: Switch | None = None,
    virtual_background_url: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> str:
    """A link into a room, with parameters for whoever opens it.

    What the link carries already (a `roomKey`, other parameters, a fragment) stays as and where it is; a parameter that is
    on it already is replaced. A keyword that is `None` changes nothing. Where Whereby documents only `off` (or only `on`,
    or a bare name) the other word is the default, spelled by leaving the parameter out. People who are logged in to the
    Whereby account see their own settings instead.

    Args:
        room_url: `room_url`, `host_room_url` or `viewer_room_url` of a meeting.
        display_name: The participant's name: up to 100 characters, none of `$!<>:;`.
        lang: Language of the controls, such as `en`, `nb`, `zh-hant`, `jp` (see `ROOM_LANGUAGES`).
        external_id: Your id of the participant, kept in the insights and webhooks: up to 36 of `A-Za-z0-9-_`, or a UUID.
        metadata: Text that is passed on to the webhooks.
        avatar_url: The participant's picture: https, no query; square PNG or JPEG, up to 64 by 64 pixels, from a domain
            that the dashboard allows.
        groups: Names for up to 20 breakout groups.
        aec: Acoustic echo cancellation; noise reduction needs it.
        agc: Automatic gain control; noise reduction needs it.
        audio: Join with the microphone on?
        audio_denoiser: Noise reduction; costs older devices much.
        auto_hide_self_view: Hide the own picture by and by; needs `float_self`.
        auto_spotlight: Put the participant in the spotlight on joining; hosts only.
        background: Show the room's background.
        bottom_toolbar: Show the bottom toolbar.
        breakout: Offer breakout groups to the host.
        call_quality_monitoring: Offer the meeting's diagnostics; needs the top toolbar.
        camera_access: Ask for the camera at all?
        camera_effect: What the camera's picture goes through (see `CAMERA_EFFECTS`); can be changed in the room.
        chat: Show the chat button.
        chat_download: Let this participant download the chat afterwards.
        float_self: Float the own picture at the bottom right.
        highlight_active_speaker: Highlight who speaks.
        leave_button: Show the button to leave.
        localization: Show the choice of language.
        locking: Show the button that locks the room.
        logo: Show the logo.
        low_data: Start with a lower resolution.
        minimal: Show no controls but camera and microphone.
        more_button: Show the button for more.
        participant_count: Show how many are there.
        people: Show the people button.
        pip_button: Show the picture-in-picture button.
        precall_ceremony: Test devices and connection first; needs `precall_review`.
        precall_ceremony_can_skip: Let that test be skipped; needs `precall_review`.
        precall_permission_help_link: Where the review before the call sends people for help: http or https.
        precall_review: Show the review before the call.
        room_integrations: Offer YouTube and Miro in the room.
        screenshare: Show the button that shares a screen.
        settings_button: Show the settings button.
        skip_media_permission_prompt: Ask for devices without explaining why first.
        subgrid_labels: Show names in the smaller grid.
        timer: Show the meeting's timer.
        toolbar_dark_text: Black labels on buttons.
        toolbar_text: Show labels on the toolbar's buttons.
        top_toolbar: Show the top toolbar.
        video: Join with the camera on?
        virtual_background_url: A picture behind the participant: 1280 by 720, PNG or JPEG, served with CORS.
        extra: More parameters, or documented ones unchecked, by their names on the wire: they win over the keywords.
            Booleans become `on` and `off`, lists are joined by commas, `""` is a bare name, `None` is left out.

    Returns:
        The link, a plain string. With a `roomKey` it is a secret: it makes whoever opens it a host or a viewer.

    Raises:
        ValueError: The link is none into a room, or a value is outside what Whereby documents.
        TypeError: The link or a value is of another type.
    """
    given = SilentDict(locals())  # every keyword by its name
    del given["room_url"], given["extra"]
    room_url, extra = as_secret(room_url), silent(extra)
    on_link = names_on(checked(room_url))
    return joined(room_url, pairs_of(given, extra, on_link))
