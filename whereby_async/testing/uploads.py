"""A multipart form body, taken apart. Pure."""

from __future__ import annotations

from email.message import Message

from .requests import UploadedFile


def read_form(content_type: str, body: bytes) -> tuple[dict[str, str], tuple[UploadedFile, ...]]:
    """The text fields and the files of a `multipart/form-data` body; a part without a file name is a field,
    and what is not well-formed is left out.

    Args:
        content_type: The request's `Content-Type`, with its boundary.
        body: The body's bytes.
    """
    boundary = _parameters("content-type", content_type).get_param("boundary", header="content-type")
    if not isinstance(boundary, str) or not boundary:
        return {}, ()
    form: dict[str, str] = {}
    files: list[UploadedFile] = []
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary.encode())[1:]:
        if part.startswith(b"--"):
            break
        head, found, content = part.partition(b"\r\n\r\n")
        if not found:
            continue
        headers = _headers(head)
        disposition = _parameters("content-disposition", headers.get("content-disposition", ""))
        field = _parameter(disposition, "name")
        if disposition.get_param("filename", header="content-disposition") is None:
            form[field] = content.decode("utf-8", "replace")
            continue
        filename = _parameter(disposition, "filename")
        kind = headers.get("content-type", "")
        files.append(UploadedFile(field=field, filename=filename, content_type=kind, content=content))
    return form, tuple(files)


def _headers(head: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in head.decode("utf-8", "replace").split("\r\n"))
    return {name.strip().lower(): value.strip() for name, found, value in lines if found}


def _parameters(name: str, value: str) -> Message:
    message = Message()
    message[name] = value.replace("\r", "").replace("\n", "")
    return message


def _parameter(disposition: Message, name: str) -> str:
    value = disposition.get_param(name, "", header="content-disposition")
    return value if isinstance(value, str) else value[2]
