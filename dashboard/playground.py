"""A prompt down a tenant's real route, by the same kit and with the same key as the tenant's own data plane.

It reads the published config from where data planes read it, and what it uses is metered like every other request.
"""

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django import forms
from django.conf import settings

from aws import connect
from billing.queries.answers import AnswerCost, answer_cost
from core import clock
from dashboard.forms import PlainForm
from dataplane import Completion, DataPlaneError, Kit, Stream
from dataplane.config import tenant_key
from provisioning.queries import current_config

log = logging.getLogger(__name__)

# An answer holds one of the web server's workers, which is taken for dead after 30 s without a word: at most one wait
# for a byte and the whole time of an answer, together less than that.
WAIT_SECONDS = 10.0
MOST_SECONDS = 15.0
MOST_TOKENS = 512
MOST_CHARACTERS = 8000
KITS_KEPT = 16

HINTS = {
    "config_unavailable": "The table of runtime configs does not answer. Data planes go on with what they have; "
    "try again in a moment.",
    "config_refused": "Data planes refuse this config too, and go on with the last good one. Publish a new version.",
    "tenant_unknown": "Nothing is published for this tenant yet. It follows when its resources are ready.",
    "tenant_suspended": "Resume the tenant to have its requests served.",
    "unknown_route": "Reload the page: the routes have changed.",
    "invalid_request": "Ask for fewer tokens.",
    "limit_exceeded": "The tenant's own token limits hold here too. Wait, or ask for fewer tokens.",
    "limits_busy": "Too many of the tenant's requests are counted at once. Try again in a moment.",
    "limits_unavailable": "The table of token limits does not answer. Try again in a moment.",
    "model_unavailable": "Try again in a moment. If it stays like this, look at the tenant's resources.",
    "breaker_open": "The circuit breaker of its line is open: see Routes for why, and to reset it.",
    "model_failed": "Look at the tenant's resources, and at the endpoint's log in CloudWatch.",
}


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that has ended, on which route, and how long it took."""

    route: str
    completion: Completion
    seconds: float
    is_out_of_time: bool

    @property
    def first_byte_ms(self) -> int:
        """Milliseconds from the request to the first byte."""
        return round((self.completion.first_byte_seconds or 0) * 1000)

    @property
    def has_adapter(self) -> bool:
        """Whether an adapter answered, and not the bare base model."""
        return self.completion.version_number is not None


class PromptForm(PlainForm):
    """What to ask, and on which of the tenant's routes."""

    route = forms.ChoiceField()
    prompt = forms.CharField(
        max_length=MOST_CHARACTERS, widget=forms.Textarea(attrs={"rows": 5, "class": "form-control"})
    )
    max_tokens = forms.IntegerField(
        label="Longest answer", min_value=1, max_value=MOST_TOKENS, initial=128, help_text="In tokens."
    )

    def __init__(self, *args: Any, routes: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["route"] = forms.ChoiceField(
            choices=[(name, name) for name in routes], widget=forms.Select(attrs={"class": "form-select"})
        )


class Asking:
    """One prompt under way: iterate for the pieces of the answer, read `answered`, and close it whatever happens.

    Raises what the kit raises until the first piece is there, and nothing from then on. What was delivered is counted
    however it ends: whole, out of time, or because the reader went away.
    """

    def __init__(self, tenant: str, *, route: str, prompt: str, max_tokens: int) -> None:
        self._route = route
        self._began = time.monotonic()
        self._kit = _kit(tenant, os.getpid())
        self._stream: Stream = self._kit.stream(route, prompt, max_tokens)
        self._is_out_of_time = False

    def __iter__(self) -> Iterator[str]:
        for piece in self._stream:
            yield piece
            if time.monotonic() - self._began > MOST_SECONDS:
                self._is_out_of_time = True
                return

    @property
    def answered(self) -> Answered:
        """The answer as far as it has come; it goes no further."""
        self._stream.close()
        seconds = time.monotonic() - self._began
        return Answered(self._route, self._stream.completion, seconds, is_out_of_time=self._is_out_of_time)

    def close(self) -> None:
        """Stop, and put what was counted to CloudWatch now: this process may not be asked again for hours."""
        self._stream.close()
        for told in self._kit.flush().errors:
            log.warning("usage of the playground was not put: %s", told)


def routes_of(tenant_id: int) -> list[str]:
    """The names of the routes that the tenant's current config serves; none while it is not active."""
    published = current_config(tenant_id)
    if published is None or published.document.get("status") != "active":
        return []
    return sorted(published.document["routes"])


def cost_of(tenant_id: int, answered: Answered) -> AnswerCost | None:
    """What the tenant pays for the answer; None when nothing prices its tokens."""
    completion = answered.completion
    return answer_cost(
        tenant_id,
        line=completion.line,
        adapter_version=completion.adapter_version,
        input_tokens=completion.input_tokens,
        output_tokens=completion.output_tokens,
        cached_input_tokens=completion.cached_input_tokens,
        cache_write_input_tokens=completion.cache_write_input_tokens,
    )


def hint_for(error: DataPlaneError) -> str:
    """What somebody can do about a refusal of the kit."""
    return HINTS.get(error.code, "")


@lru_cache(maxsize=KITS_KEPT)
def _kit(tenant: str, process_id: int) -> Kit:
    """This process's kit for a tenant. It asks for the config at every prompt, so that a release is seen at once."""
    connect.account_id()  # refuses an AWS account that nobody named
    return Kit(
        tenant,
        tenant_key(settings.CONFIG_SIGNING_KEY, tenant),
        settings.CONFIG_TABLE,
        clock=lambda: clock.now().timestamp(),
        config_ttl_seconds=0,
        limits_table=settings.ENV.limits_table,
        invoke_timeout_seconds=WAIT_SECONDS,
    )
