"""What strangers chose, made harmless in a page."""

from __future__ import annotations

from markupsafe import Markup

from guard.report.html import safe


def shown(value: object) -> object:
    """What a template puts out for a value: strings escaped, what hides or turns other characters as its code, and HTML
    of our own as it is."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return Markup(safe(value))
    return value
