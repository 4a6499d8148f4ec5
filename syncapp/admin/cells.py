"""Template filters of the administration's lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

register = template.Library()


@register.filter
def labelled(cells: Iterable[SafeString], headers: list[dict[str, Any]]) -> list[SafeString]:
    """A row's cells, as Django made them, each with its column's title for narrow screens."""
    return [_labelled(cell, header) for cell, header in zip(cells, headers, strict=True)]


def _labelled(cell: SafeString, header: dict[str, Any]) -> SafeString:
    if "action-checkbox" in header.get("class_attrib", ""):
        return cell
    tag, rest = cell[:3], cell[3:]
    label = format_html(' data-label="{}"', capfirst(str(header["text"])))
    return mark_safe(tag + label + rest)  # noqa: S308 - Django's own cell, and an escaped title
