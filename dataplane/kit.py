"""The kit: what a tenant's data plane calls. It reads the config, invokes the model, counts what the answer reports."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import boto3
from botocore.config import Config

from dataplane.breakers import Breakers
from dataplane.budgets import NOTHING, upper_bound
from dataplane.completion import Completion
from dataplane.config import API, ConfigReader, Route, RuntimeConfig, Target
from dataplane.converse import converse
from dataplane.emit import Emitter, FlushReport
from dataplane.errors import InvalidRequest, TenantSuspended, UnknownRoute
from dataplane.invoke import invoke
from dataplane.ladder import Descent, Way
from dataplane.limits import Limiter, Ticket
from dataplane.places import Runtimes
from dataplane.quick_table import QuickTable
from dataplane.reports import Reporter
from dataplane.stream import Delivered, Stream, open_stream
from dataplane.usage import Usage

CONNECTIONS = 16
# The container answers within 60 s or not at all; a little more, so that its own error arrives first.
INVOKE_TIMEOUT_SECONDS = 65.0
FLUSH_EVERY_SECONDS = 60.0
FREE = Ticket(None, (), NOTHING)
Answered = TypeVar("Answered")


class Kit:
    """Serves one tenant; safe to share between threads, keep one per process.

    `config_key` is the tenant's own key (`dataplane.config.tenant_key`). `clock` gives the epoch seconds under which
    usage is recorded. Usage is put to CloudWatch by `flush()`, and on its own about once a minute while requests come;
    call `close()` before the process ends. Only the first request waits for the config: a thread keeps it fresh from
    then on, asking every `config_ttl_seconds` (0: no thread, every request asks).
    With `limits_table` the token windows of the config and its lines' allowances are kept, over all processes, and
    degrades and breakers are told there; without it no window is looked at and nothing is told.
    `invoke_timeout_seconds` is how long a request waits for the next byte.
    """

    def __init__(
        self,
        tenant: str,
        config_key: bytes,
        table: str,
        clock: Callable[[], float] = time.time,
        *,
        session: boto3.session.Session | None = None,
        config_ttl_seconds: float = 2.0,
        metric_period_seconds: int = 60,
        limits_table: str | None = None,
        invoke_timeout_seconds: float = INVOKE_TIMEOUT_SECONDS,
    ) -> None:
        made = session or boto3.session.Session()
        fast = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2, "mode": "standard"})
        once = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 1})
        self.tenant = tenant
        self._clock = clock
        self._config = ConfigReader(
            client=made.client("dynamodb", config=fast),
            table=table,
            tenant=tenant,
            key=config_key,
            ttl_seconds=config_ttl_seconds,
        )
        self._runtimes = Runtimes(made, _runtime_config(invoke_timeout_seconds))
        self._emitter = Emitter(
            client=made.client("cloudwatch", config=once), tenant=tenant, period_seconds=metric_period_seconds
        )
        limits_client = _limits_client(made) if limits_table else None
        self._limiter = Limiter(limits_client, limits_table, tenant) if limits_table else None
        self._reporter = Reporter(limits_client, limits_table or "", tenant)
        self._descent = Descent(Breakers(lambda turn: self._reporter.turned(turn, clock())), self._reporter)
        self._next_flush = time.monotonic() + FLUSH_EVERY_SECONDS
        self._flush_turn = threading.Lock()

    def config(self, *, fresh: bool = False) -> RuntimeConfig:
        """Return the config in force, asking the store first when `fresh`. Raises as `ConfigReader.current` does."""
        if fresh:
            self._config.expire()
        return self._config.current()

    def complete(
        self,
        route: str,
        prompt: str,
        max_tokens: int,
        *,
        options: Mapping[str, Any] | None = None,
        at: float | None = None,
    ) -> Completion:
        """Answer `prompt` on the named route and count the usage that the answer reports.

        `options` are further fields of the request body, with what could choose another model or adapter taken out.
        `at` (epoch seconds) stamps the usage in place of the clock; a replay uses it. Raises TenantSuspended,
        UnknownRoute, InvalidRequest, LimitExceeded, LimitsUnavailable, ModelUnavailable, ModelFailed and the config
        errors; nothing is counted then.
        """
        config, body, way = self._prepare(route, prompt, max_tokens, options, at)

        def send(target: Target, ticket: Ticket) -> Completion:
            ask = converse if target.kind == API else invoke
            began = time.monotonic()
            answer = ask(self._runtimes.of(target), target, body)
            busy_seconds = time.monotonic() - began
            completion = _completion(target, answer.text, answer.usage, over=ticket.over)
            ticket.settle(answer.usage.tokens)
            self._count(config, target, completion, at, busy_seconds)
            return completion

        return self._down(way, send)

    def stream(
        self,
        route: str,
        prompt: str,
        max_tokens: int,
        *,
        options: Mapping[str, Any] | None = None,
        at: float | None = None,
    ) -> Stream:
        """Answer `prompt` piece by piece: iterate for the text, then read `completion`.

        Returns when the first piece is there, and raises until then as `complete` does, with nothing counted. From
        then on nothing raises: an answer that is cut ends early, is counted as far as it was delivered, and says so in
        `completion.is_partial` and `completion.cut_reason`. Close the stream when stopping half-way.
        """
        config, body, way = self._prepare(route, prompt, max_tokens, options, at)

        def send(target: Target, ticket: Ticket) -> Stream:
            began = time.monotonic()

            def end(delivered: Delivered) -> Completion:
                busy_seconds = time.monotonic() - began
                completion = _completion(
                    target,
                    delivered.text,
                    delivered.usage,
                    cut_reason=delivered.cut_reason,
                    first_byte_seconds=delivered.first_byte_seconds,
                    over=ticket.over,
                )
                ticket.settle(delivered.usage.tokens)
                self._count(config, target, completion, at, busy_seconds)
                return completion

            return open_stream(self._runtimes.of(target), target, body, end)

        return self._down(way, send)

    def flush(self) -> FlushReport:
        """Put the counted usage to CloudWatch; return what was sent, kept, and of unknown fate."""
        self._reporter.tell()
        return self._emitter.flush()

    def close(self) -> FlushReport:
        """Stop refreshing the config and put what was counted. The kit can still answer, with the config it has."""
        self._config.close()
        return self.flush()

    @property
    def emitted(self) -> dict[str, int]:
        """Usage per metric that CloudWatch has confirmed since the kit was made."""
        return dict(self._emitter.confirmed)

    @property
    def dropped(self) -> dict[str, int]:
        """Usage per metric that a full buffer pushed out before it could be put."""
        return dict(self._emitter.dropped)

    def _prepare(
        self, route: str, prompt: str, max_tokens: int, options: Mapping[str, Any] | None, at: float | None
    ) -> tuple[RuntimeConfig, dict[str, Any], Way]:
        config = self._config.current()
        chosen = choose_route(config, route, max_tokens)
        body = _body(prompt, max_tokens, options)
        stamp = self._clock() if at is None else at

        def reserve(target: Target) -> Ticket:
            if self._limiter is None:
                return FREE
            # Whoever waited counts when it goes on, unless a replay says when it happened.
            then = self._clock() if at is None else at
            return self._limiter.reserve(config.budgets, upper_bound(body), then, target.allowance)

        def failed(target: Target) -> None:
            if target.kind != API:
                self._emitter.record_error(
                    namespace=config.metrics_namespace,
                    adapter_version=target.adapter_version,
                    line=target.line,
                    at=stamp,
                )
                self._flush_when_due()

        return config, body, Way(chosen, config.ladder, stamp, may_wait=at is None, reserve=reserve, failed=failed)

    def _down(self, way: Way, send: Callable[[Target, Ticket], Answered]) -> Answered:
        try:
            return self._descent.answer(way, send)
        finally:
            self._reporter.tell_when_due()

    def _count(
        self, config: RuntimeConfig, target: Target, completion: Completion, at: float | None, busy_seconds: float
    ) -> None:
        if target.kind != API:  # of a model of Bedrock AWS counts by itself; twice would be billed twice
            self._emitter.record(
                namespace=config.metrics_namespace,
                adapter_version=completion.adapter_version,
                line=completion.line,
                at=self._clock() if at is None else at,
                input_tokens=completion.input_tokens,
                output_tokens=completion.output_tokens,
                cached_input_tokens=completion.cached_input_tokens,
                # Whole milliseconds: every count is a whole number. An answer took at least one.
                busy_milliseconds=max(1, round(busy_seconds * 1000)),
            )
        self._flush_when_due()

    def _flush_when_due(self) -> None:
        if time.monotonic() < self._next_flush or not self._flush_turn.acquire(blocking=False):
            return
        try:
            self._next_flush = time.monotonic() + FLUSH_EVERY_SECONDS
            self._emitter.flush()
        finally:
            self._flush_turn.release()


def choose_route(config: RuntimeConfig, name: str, max_tokens: int) -> Route:
    """Find the route for a request. Raises TenantSuspended, UnknownRoute or InvalidRequest."""
    if config.status != "active":
        raise TenantSuspended(f"{config.tenant} is {config.status}; its requests are not served.")
    if name not in config.routes:
        known = ", ".join(sorted(config.routes)) or "none"
        raise UnknownRoute(
            f"{config.tenant} has no route {name!r} in config version {config.version}; it has: {known}."
        )
    if not 1 <= max_tokens <= config.max_output_tokens:
        raise InvalidRequest(f"max_tokens is {max_tokens}; it must be from 1 to {config.max_output_tokens}.")
    return config.routes[name]


def _body(prompt: str, max_tokens: int, options: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**(options or {}), "prompt": prompt, "max_tokens": max_tokens}


def _completion(target: Target, text: str, usage: Usage, **streamed: Any) -> Completion:
    return Completion(
        text=text,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        cache_write_input_tokens=usage.cache_write_input_tokens,
        adapter_version=target.adapter_version,
        line=target.line,
        version_number=target.version_number,
        **streamed,
    )


def _runtime_config(timeout_seconds: float) -> Config:
    """Settings of the client that invokes.

    One attempt: a repeated invocation would be counted twice by the container and once by us. Bodies are made by us, so
    botocore's own parameter check is spared.
    """
    return Config(
        connect_timeout=3,
        read_timeout=timeout_seconds,
        retries={"total_max_attempts": 1},
        max_pool_connections=CONNECTIONS,
        parameter_validation=False,
    )


def _limits_client(session: boto3.session.Session) -> QuickTable:
    """The client that counts: DynamoDB answers within milliseconds, and a request must not wait long."""
    config = Config(
        connect_timeout=1,
        read_timeout=1,
        retries={"total_max_attempts": 2, "mode": "standard"},
        max_pool_connections=CONNECTIONS,
        parameter_validation=False,
    )
    return QuickTable(session.client("dynamodb", config=config), session.get_credentials())
