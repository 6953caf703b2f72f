"""Icons, state chips and addresses that keep their filters."""

from functools import cache
from pathlib import Path

from django import template
from django.http import QueryDict
from django.template.context import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from dashboard.words import Word, word

register = template.Library()

ICONS = Path(__file__).resolve().parents[2] / "static" / "vendor" / "lucide"


@register.simple_tag
def icon(name: str, classes: str = "") -> SafeString:
    """A Lucide icon inside the page; it decorates a word beside it and is silent to screen readers.

    Raises FileNotFoundError for an icon that is not vendored, so a typo fails in the first test that draws it.
    """
    return format_html(
        '<svg class="icon {}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-linecap="round"'
        ' stroke-linejoin="round" aria-hidden="true" focusable="false">{}</svg>',
        classes,
        _drawing(name),
    )


@cache
def _drawing(name: str) -> SafeString:
    text = (ICONS / f"{name}.svg").read_text(encoding="utf-8")
    inner = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    return mark_safe(" ".join(inner.split()))


@register.inclusion_tag("components/_badge.html")
def badge(kind: str, state: str, label: str = "") -> dict[str, object]:
    """A state as a chip with icon, word and tone; `label` replaces the word."""
    known = word(kind, state)
    return {"word": Word(label or known.label, known.tone, known.icon), "spins": known.icon == "loader-circle"}


@register.filter
def state_word(state: str, kind: str) -> str:
    """The word of a state alone, for sentences and tables."""
    return word(kind, state).label


@register.simple_tag(takes_context=True)
def address(context: Context, **changes: str | None) -> str:
    """This page's address with some parameters changed; None or empty takes one out. The cursor never survives."""
    query: QueryDict = context["request"].GET.copy()
    query.pop("cursor", None)
    for name, value in changes.items():
        if value in (None, ""):
            query.pop(name, None)
        else:
            query[name] = str(value)
    return f"?{query.urlencode()}" if query else context["request"].path


@register.inclusion_tag("components/_action.html")
def action(
    url: str, label: str, *, glyph: str = "", look: str = "btn-quiet", allowed: bool = True, why: str = ""
) -> dict[str, object]:
    """A button that opens a question in a dialog (a page without JavaScript).

    Somebody who may not do it sees it greyed, with the reason `why`, instead of wondering where it went.
    """
    return {"url": url, "label": label, "glyph": glyph, "look": look, "allowed": allowed, "why": why}
