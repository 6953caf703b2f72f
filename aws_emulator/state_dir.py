"""The state on disk: it survives a kill -9 of the emulator, less at most the last second.

Hosting objects and moto's services are written whole, to a new file that then takes the old one's place. The bytes
of S3 objects lie beside it, one file each, written once. Metric points are appended to a journal as they come.
"""

import hashlib
import io
import json
import pickle
import sys
import threading
from dataclasses import fields
from pathlib import Path
from typing import Any, TextIO

from moto.s3.models import FakeKey

from aws_emulator.aws_others import OtherServices
from aws_emulator.cloudwatch import CloudWatch
from aws_emulator.metric_store import Point, SeriesKey
from aws_emulator.objects import (
    Component,
    Endpoint,
    EndpointConfig,
    Loaded,
    Model,
    Move,
    Package,
    PackageGroup,
    Profile,
    Region,
)
from aws_emulator.world import Behaviour, Controls, World

_EVERY_SECONDS = 0.4
_KEPT = (
    Model,
    EndpointConfig,
    Endpoint,
    Component,
    Profile,
    PackageGroup,
    Package,
    Region,
    Move,
    Loaded,
    Controls,
    Behaviour,
)
_FORM = {kept.__name__: [member.name for member in fields(kept)] for kept in _KEPT}
"""The members of all that is kept: objects of another form would load, and break at the first use."""


class _Pickler(pickle.Pickler):
    """Pickles moto's state, with each S3 object's bytes in a file of its own."""

    def __init__(self, file: io.BytesIO, blobs: Path) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._blobs = blobs
        self.used: set[str] = set()

    def reducer_override(self, thing: Any) -> Any:
        if not isinstance(thing, FakeKey):
            return NotImplemented
        state = thing.__dict__.copy()
        del state["_value_buffer"], state["lock"]
        name = state.get("_emulator_blob")
        if name is None:
            value = thing.value
            name = hashlib.sha256(value).hexdigest()
            if not (self._blobs / name).exists():
                _replace(self._blobs / name, value)
            # An object's bytes never change once moto keeps it: a new upload is a new FakeKey.
            thing.__dict__["_emulator_blob"] = state["_emulator_blob"] = name
        self.used.add(name)
        return _Stored, (state, name)


class _Stored:
    """Stands for an S3 object in the pickle; reading swaps it for the object."""

    blobs: Path

    def __new__(cls, state: dict[str, Any], name: str) -> Any:
        key: Any = object.__new__(FakeKey)
        key.__setstate__({**state, "value": (cls.blobs / name).read_bytes()})
        return key


def _replace(file: Path, value: bytes) -> None:
    draft = file.with_name(f"{file.name}.new")
    draft.write_bytes(value)
    draft.replace(file)


class StateDir:
    """Keeps the state of one emulator in one folder."""

    def __init__(self, folder: Path, world: World, metrics: CloudWatch, others: OtherServices) -> None:
        self._folder, self._world, self._metrics, self._others = folder, world, metrics, others
        self._blobs = folder / "blobs"
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._written = (0, 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="state")
        self._journal: TextIO | None = None

    def load(self) -> None:
        """Bring back what the folder holds. What cannot be read is set aside, and its service starts empty."""
        _Stored.blobs = self._blobs
        self._load_part("hosting", self._restore_hosting)
        self._load_part("others", self._others.restore)
        self._load_metrics()
        self._written = (self._world.changes, self._others.changes)

    def start(self) -> None:
        """Write from now on, in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is left and end."""
        self._stop.set()
        self._thread.join()
        self._write()

    def _load_part(self, name: str, restore: Any) -> None:
        file = self._folder / f"{name}.pickle"
        if not file.exists():
            return
        try:
            restore(pickle.loads(file.read_bytes()))
        except Exception as error:
            aside = file.with_suffix(".unreadable")
            file.replace(aside)
            print(f"aws_emulator: {file} cannot be read ({error!r}); kept as {aside}", file=sys.stderr)

    def _restore_hosting(self, state: dict[str, Any]) -> None:
        if state["form"] != _FORM:
            raise ValueError("written by another version of the emulator")
        self._world.regions, self._world.controls = state["regions"], state["controls"]

    def _run(self) -> None:
        told = ""
        while not self._stop.wait(_EVERY_SECONDS):
            try:
                self._write()
            except Exception as error:
                # A full disk must not end the keeping for good; once per reason is enough to be told.
                if repr(error) != told:
                    told = repr(error)
                    print(f"aws_emulator: the state cannot be written: {told}", file=sys.stderr)

    def _write(self) -> None:
        with self._world.lock:
            world_changes = self._world.changes
            if world_changes != self._written[0]:
                state = {"form": _FORM, "regions": self._world.regions, "controls": self._world.controls}
                hosting = pickle.dumps(state, protocol=pickle.HIGHEST_PROTOCOL)
                _replace(self._folder / "hosting.pickle", hosting)
        other_changes = self._others.changes
        if other_changes != self._written[1]:
            self._write_others()
        self._written = (world_changes, other_changes)

    def _write_others(self) -> None:
        buffer = io.BytesIO()
        pickler = _Pickler(buffer, self._blobs)
        with self._others.lock:
            pickler.dump(self._others.state())
        _replace(self._folder / "others.pickle", buffer.getvalue())
        for blob in self._blobs.iterdir():
            if blob.name not in pickler.used:
                blob.unlink()

    # Metrics

    def _load_metrics(self) -> None:
        file = self._folder / "metrics.jsonl"
        good = 0
        if file.exists():
            with file.open("rb") as lines:
                for line in lines:
                    if not line.endswith(b"\n"):
                        break
                    for row in json.loads(line):
                        account, region, namespace, metric, dimensions, *statistics = row
                        pairs = tuple((name, value) for name, value in dimensions)
                        point = Point(*statistics)
                        if point.spread is not None:
                            point.spread = dict(point.spread)  # JSON has no numbers as keys: it came as pairs
                        self._metrics.store.add(SeriesKey(account, region, namespace, metric, pairs), point)
                    good += len(line)
            # A line cut by a kill was never acknowledged in full; the next one must begin afresh.
            with file.open("r+b") as lines:
                lines.truncate(good)
        self._journal = file.open("a", encoding="utf-8")
        self._metrics.on_put, self._metrics.on_reset = self._append, self._forget

    def _append(self, points: list[tuple[SeriesKey, Point]]) -> None:
        if self._journal is not None:
            rows = [
                [*key, p.at, p.visible_at, p.unit, p.total, p.count, p.low, p.high, p.spread and list(p.spread.items())]
                for key, p in points
            ]
            self._journal.write(json.dumps(rows) + "\n")
            self._journal.flush()

    def _forget(self) -> None:
        if self._journal is not None:
            self._journal.truncate(0)
