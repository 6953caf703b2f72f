"""The control API under /_emulator/: the clock, delays, faults, quotas and what was called. JSON in, JSON out."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from aws_emulator.aws_others import OtherServices
from aws_emulator.cloudwatch import CloudWatch
from aws_emulator.faults import KINDS, REASONS
from aws_emulator.sagemaker import OPERATIONS
from aws_emulator.streaming import FAILURES
from aws_emulator.throttling import Limit
from aws_emulator.wire import Reply, Request
from aws_emulator.world import Behaviour, World

BEHAVIOURS = ("normal", "load_nothing", "fall_back_to_base")
# Where each may begin; null takes it back.
STREAM_COUNTS = {"stream_chunk_bytes": 1, "stream_fail_after_words": 0, "stream_cut_after_words": 0}
SPEED_KEYS = ("copy_words_per_second", "copy_requests")
CACHE_KEYS = {"cache_read_words": "read_words", "cache_write_words": "write_words"}
STREAM_KEYS = (*STREAM_COUNTS, "stream_failure")


class ControlRefused(Exception):
    """A control request that makes no sense; the text says what is wrong with it."""


def _whole(value: Any, what: str, least: int | None = None) -> int:
    if type(value) is not int or (least is not None and value < least):
        raise ControlRefused(f"{what} must be a whole number{'' if least is None else f' of at least {least}'}.")
    return value


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ControlRefused(f"{what} must be a number.")
    return float(value)


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key, "")
    if not isinstance(value, str):
        raise ControlRefused(f"{key} must be text.")
    return value


def _only(body: dict[str, Any], *keys: str) -> None:
    unknown = sorted(body.keys() - set(keys))
    if unknown:
        raise ControlRefused(f"Unknown: {', '.join(unknown)}. Known here: {', '.join(keys)}.")


def _read_speed(body: dict[str, Any]) -> dict[str, Any]:
    """The members of CopySpeed that the body sets; null sets one back."""
    changes: dict[str, Any] = {}
    if "copy_words_per_second" in body:
        rate = body["copy_words_per_second"]
        if rate is not None and _number(rate, "copy_words_per_second") <= 0:
            raise ControlRefused("copy_words_per_second must be a number above 0.")
        changes["words_per_second"] = rate
    if "copy_requests" in body:
        changes["requests"] = _whole(body["copy_requests"], "copy_requests", 1)
    return changes


def _read_streaming(body: dict[str, Any]) -> dict[str, Any]:
    """The members of Streaming that the body sets; null sets one back."""
    changes: dict[str, Any] = {}
    for key, least in STREAM_COUNTS.items():
        if key in body:
            changes[key.removeprefix("stream_")] = None if body[key] is None else _whole(body[key], key, least)
    if "words_per_second" in body:
        rate = body["words_per_second"]
        if rate is not None and _number(rate, "words_per_second") <= 0:
            raise ControlRefused("words_per_second must be a number above 0.")
        changes["words_per_second"] = rate
    if "stream_failure" in body:
        if body["stream_failure"] not in FAILURES:
            raise ControlRefused(f"stream_failure must be one of {', '.join(FAILURES)}.")
        changes["failure"] = body["stream_failure"]
    return changes


def _account_and(body: dict[str, Any], name: str) -> tuple[str, str]:
    account, value = body.get("account"), body.get(name)
    if not isinstance(account, str) or not re.fullmatch(r"[0-9]{12}", account):
        raise ControlRefused("account must be the 12 digits of an account.")
    if not isinstance(value, str) or not value:
        raise ControlRefused(f"{name} must be named.")
    return account, value


class ControlApi:
    """Answers `METHOD /_emulator/NAME`; a refused request is a 400 with an `error`."""

    def __init__(self, world: World, metrics: CloudWatch, others: OtherServices) -> None:
        self._world, self._metrics, self._others = world, metrics, others
        self._routes: dict[tuple[str, str], Callable[[dict[str, Any]], Any]] = {
            ("GET", "health"): self._health,
            ("GET", "clock"): self._clock,
            ("POST", "clock"): self._move_clock,
            ("GET", "delays"): lambda body: self._world.controls.delays,
            ("POST", "delays"): self._set_delays,
            ("GET", "faults"): lambda body: {"faults": self._world.faults.listing()},
            ("POST", "faults"): self._order_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "quotas"): lambda body: self._world.controls.quotas | self._world.controls.place_quotas,
            ("POST", "quotas"): self._set_quotas,
            ("GET", "throttle"): lambda body: self._throttle(),
            ("POST", "throttle"): self._set_throttle,
            ("GET", "roles"): self._roles,
            ("POST", "roles"): self._put_role,
            ("DELETE", "roles"): self._delete_role,
            ("POST", "sessions"): self._end_sessions,
            ("GET", "instances"): self._instances,
            ("POST", "inference"): self._set_inference,
            ("POST", "metrics"): self._set_metrics,
            ("GET", "calls"): lambda body: dict(self._world.calls),
            ("POST", "reset"): self._reset,
        }

    def answer(self, request: Request) -> Reply:
        """The reply to one control request."""
        name = request.path.removeprefix("/_emulator/").strip("/")
        route = self._routes.get((request.method, name))
        if route is None:
            known = ", ".join(f"{method} {path}" for method, path in self._routes)
            return _reply(404, {"error": f"No {request.method} {name} here. Known: {known}."})
        try:
            body = json.loads(request.body or b"{}")
            if not isinstance(body, dict):
                raise ControlRefused("The body must be a JSON object.")
            with self._world.lock:
                return _reply(200, route(body))
        except (ControlRefused, ValueError) as error:
            return _reply(400, {"error": str(error)})

    def _health(self, body: dict[str, Any]) -> Any:
        return {"status": "ok", "now": self._world.clock.now(), "offset_seconds": self._world.clock.offset()}

    def _clock(self, body: dict[str, Any]) -> Any:
        return {"now": self._world.clock.now(), "offset_seconds": self._world.clock.offset()}

    def _move_clock(self, body: dict[str, Any]) -> Any:
        _only(body, "advance_seconds", "offset_seconds")
        if len(body) != 1:
            raise ControlRefused("Give either advance_seconds or offset_seconds.")
        # The offset is whole; rounding up makes sure that the time asked for is reached.
        if "advance_seconds" in body:
            self._world.clock.advance(math.ceil(_number(body["advance_seconds"], "advance_seconds")))
        else:
            self._world.clock.set_offset(math.ceil(_number(body["offset_seconds"], "offset_seconds")))
        return self._clock(body)

    def _set_delays(self, body: dict[str, Any]) -> Any:
        delays = self._world.controls.delays
        _only(body, *delays)
        for kind, delay in body.items():
            if not isinstance(delay, dict) or len(delay) != 1 or not {"seconds", "looks"}.issuperset(delay):
                raise ControlRefused(f'{kind} must be {{"seconds": n}} or {{"looks": n}}.')
            value = next(iter(delay.values()))
            if "looks" in delay:
                _whole(value, "looks", 0)
            elif _number(value, "seconds") < 0:
                raise ControlRefused("seconds must be a number of at least 0.")
        delays.update(body)
        self._world.touch()
        return delays

    def _order_fault(self, body: dict[str, Any]) -> Any:
        _only(body, "fault", "operation", "name_contains", "times", "reason")
        fault, operation, name = _text(body, "fault"), _text(body, "operation"), _text(body, "name_contains")
        times = _whole(body.get("times", 1), "times", 1)
        if fault not in KINDS:
            raise ControlRefused(f"fault must be one of {', '.join(KINDS)}.")
        # An explicit null means: it fails, and AWS gives no reason.
        reason = "" if body.get("reason", "") is None else _text(body, "reason") or REASONS.get(fault, "")
        if fault == "vanish" and not operation:
            if not name:
                raise ControlRefused("vanish needs name_contains, or an operation at whose next call it happens.")
            return {"vanished": self._world.vanish(lambda found: name in found, times)}
        return asdict(self._world.faults.order(fault, operation, name, times, reason))

    def _clear_faults(self, body: dict[str, Any]) -> Any:
        self._world.faults.clear()
        return {"faults": []}

    def _set_quotas(self, body: dict[str, Any]) -> Any:
        """Instances by type: everywhere, or of `account` in `region`."""
        controls = self._world.controls
        place: dict[str, Any] = {key: body.pop(key) for key in ("account", "region") if key in body}
        for kind, limit in body.items():
            _whole(limit, kind, 0)
        if not place:
            controls.quotas.update(body)
        else:
            _account_and(place, "region")
            controls.place_quotas.setdefault(f"{place['account']}/{place['region']}", {}).update(body)
        self._world.touch()
        return controls.quotas | controls.place_quotas

    def _set_throttle(self, body: dict[str, Any]) -> Any:
        """SageMaker's calls a second by operation, as `{"per_second": n, "burst": n}`; null takes a limit back."""
        ordered: dict[str, Limit | None] = {}
        for operation, limit in body.items():
            if operation not in OPERATIONS:
                raise ControlRefused(f"{operation} is no operation of SageMaker that the emulator knows.")
            if limit is not None and (not isinstance(limit, dict) or set(limit) != {"per_second", "burst"}):
                raise ControlRefused(f'{operation} must be {{"per_second": n, "burst": n}} or null.')
            ordered[operation] = None
            if limit is not None:
                burst = _whole(limit["burst"], "burst", 1)
                ordered[operation] = Limit(_number(limit["per_second"], "per_second"), burst)
        for operation, each in ordered.items():
            self._world.throttle.order(operation, each)
        return self._throttle()

    def _throttle(self) -> Any:
        throttle = self._world.throttle
        limits = {operation: asdict(limit) for operation, limit in throttle.limits.items()}
        return {"limits": limits, "refused": dict(throttle.refused)}

    def _roles(self, body: dict[str, Any]) -> Any:
        with self._others.lock:
            return {"roles": self._others.identities.roles()}

    def _put_role(self, body: dict[str, Any]) -> Any:
        """What the owner of an account does there: create a role with a trust policy, or give it another one."""
        _only(body, "account", "role", "trust_policy")
        account, role = _account_and(body, "role")
        if not isinstance(body.get("trust_policy"), dict):
            raise ControlRefused("trust_policy must be a policy document.")
        with self._others.lock:
            arn = self._others.identities.put_role(account, role, body["trust_policy"])
            self._others.changes += 1
        return {"arn": arn}

    def _delete_role(self, body: dict[str, Any]) -> Any:
        _only(body, "account", "role")
        account, role = _account_and(body, "role")
        with self._others.lock:
            is_deleted = self._others.identities.delete_role(account, role)
            self._others.changes += 1
        return {"deleted": is_deleted}

    def _end_sessions(self, body: dict[str, Any]) -> Any:
        """End the sessions of assumed roles before their time."""
        _only(body, "account")
        with self._others.lock:
            ended = self._others.identities.expire_sessions(_text(body, "account"))
            self._others.changes += 1
        return {"ended": ended}

    def _instances(self, body: dict[str, Any]) -> Any:
        """What would be billed now: the instances each endpoint holds."""
        self._world.settle_all()
        return {
            "instances": [
                {"account": r.account, "region": r.name, "endpoint": e.name, "status": e.status, "held": e.instances()}
                for r in self._world.regions.values()
                for e in r.endpoints.values()
                if e.instances()
            ]
        }

    def _set_inference(self, body: dict[str, Any]) -> Any:
        _only(body, "behaviour", "name_contains", "words_per_second", *SPEED_KEYS, *STREAM_KEYS, *CACHE_KEYS)
        streaming, speed = _read_streaming(body), _read_speed(body)
        caching = {name: _whole(body[key], key, 0) for key, name in CACHE_KEYS.items() if key in body}
        changed = replace(self._world.streaming, **streaming)
        if "behaviour" in body or not (streaming or speed or caching):
            self._set_behaviour(body)
        self._world.streaming = changed
        self._world.caching = replace(self._world.caching, **caching)
        self._world.copies.speed = replace(self._world.copies.speed, **speed)
        rules = [asdict(rule) for rule in self._world.controls.behaviours]
        return {
            "behaviours": rules,
            "streaming": asdict(changed),
            "caching": asdict(self._world.caching),
            "copies": asdict(self._world.copies.speed),
        }

    def _set_behaviour(self, body: dict[str, Any]) -> None:
        behaviour, name = _text(body, "behaviour"), _text(body, "name_contains")
        if behaviour not in BEHAVIOURS:
            raise ControlRefused(f"behaviour must be one of {', '.join(BEHAVIOURS)}.")
        # What fell due before this order loads as it was told before.
        self._world.settle_all()
        rules = [rule for rule in self._world.controls.behaviours if name and rule.name_contains != name]
        if behaviour != "normal" or name:
            rules.append(Behaviour(behaviour, name))
        self._world.controls.behaviours = rules
        self._world.touch()

    def _set_metrics(self, body: dict[str, Any]) -> Any:
        _only(body, "late_seconds", "page_size")
        if "late_seconds" in body:
            self._metrics.late_seconds = _whole(body["late_seconds"], "late_seconds", 0)
        if "page_size" in body:
            self._metrics.page_size = _whole(body["page_size"], "page_size", 1)
        return {"late_seconds": self._metrics.late_seconds, "page_size": self._metrics.page_size}

    def _reset(self, body: dict[str, Any]) -> Any:
        self._world.reset()
        self._metrics.reset()
        self._others.reset()
        self._world.clock.set_offset(0)
        return {"status": "ok"}


def _reply(status: int, value: Any) -> Reply:
    return Reply(status, [("Content-Type", "application/json")], json.dumps(value).encode())
