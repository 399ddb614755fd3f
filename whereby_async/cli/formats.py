"""In which format a header is written. Pure: names for people, by the forms that servers of this kind are known to use."""

from __future__ import annotations

import re
from typing import Final

_FORMS: Final = (
    ("milliseconds since 1970", re.compile(r"\d{13}")),
    ("seconds since 1970", re.compile(r"\d{10}(?:\.\d+)?")),
    ("whole number", re.compile(r"\d+")),
    ("number with a fraction", re.compile(r"\d+\.\d+")),
    ("ISO 8601 date", re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d)?")),
    ("HTTP date", re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")),
    ("JavaScript date", re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d{4} \d\d:\d\d:\d\d GMT[+-]\d{4}.*")),
    ("IETF draft 7", re.compile(r"(?:limit|remaining|reset)=\d+(?:,[ \t]*(?:limit|remaining|reset)=\d+)*")),
    ("IETF drafts 8 to 11", re.compile(r'"[^"]*";.*\b[rq]=\d.*')),
    ("several numbers", re.compile(r"[\d., ;=\w-]*\d[\d., ;=\w-]*")),
)

_BUDGET: Final = re.compile(r"rate|limit|retry|reset|remaining|throttl|quota", re.IGNORECASE)


def is_about_the_budget(header: str) -> bool:
    """Is it a header that may tell of points? `Date` is: a reset that is a date is read against it."""
    return bool(_BUDGET.search(header)) or header.lower() == "date"


def format_of(value: str) -> str:
    """The name of a header's format."""
    text = value.strip()
    return next((name for name, form in _FORMS if form.fullmatch(text)), "text")
