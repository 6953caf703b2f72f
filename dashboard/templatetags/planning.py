"""The planner's long lists of choices."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

register = template.Library()
SELECTED, PLAIN = mark_safe(" selected"), mark_safe("")


@register.simple_tag
def instance_options(instances: Iterable[Mapping[str, Any]], chosen: str) -> SafeString:
    """The options of a select of instance types with their prices.

    Made here and not by a loop in the template: the form holds the list three times, and a loop took a tenth of the
    page's time.
    """
    return format_html_join(
        "",
        '<option value="{}"{}>{} · {}</option>',
        (
            (
                each["instance_type"],
                SELECTED if each["instance_type"] == chosen else PLAIN,
                each["instance_type"],
                "no price there" if each["usd_per_hour"] is None else format_html("${}", each["usd_per_hour"]),
            )
            for each in instances
        ),
    )
