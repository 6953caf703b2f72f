"""The registry over REST beside MLflow's server on the same PostgreSQL, 8 requests at once; the floor is bare SQL.

Our server runs as in production behind its proxy: gunicorn's sync workers, which take one request per connection, so
each request of ours pays for a new one. MLflow's keeps its connections. Both have two workers and the same client.
MLflow is optional (requirements/bench.in; BENCH_MLFLOW names its console script when it lies elsewhere): without it
ours and the floor are measured alone. Registering a version is with us asking for its import by S3 address, which makes
the version's row, and with MLflow `model-versions/create`; rolling back is with MLflow setting an alias.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import django
import psycopg

from bench import registry_floor as floor
from bench import registry_rows as rows
from bench import servers
from bench.load import Round, drive
from bench.registry_requests import Mlflows, Ours, adapter

AT_ONCE, ROUNDS = 8, 5
MLFLOW_DATABASE = "bench_mlflow"
FIRST_ROLLED_BACK = 5_000
SHORT_LIST, SLOWER = 10, 1.3


@dataclass(frozen=True)
class Job:
    """One operation: what both servers are sent for the n-th adapter, the bare SQL of it, and the goal."""

    name: str
    count: int  # in a round
    first: int  # the first adapter; each round goes on where the one before ended
    goal: float
    ours: Callable[[int], bytes]
    theirs: Callable[[int], bytes]
    floor: floor.Work


@dataclass
class Measured:
    """The rounds of one operation."""

    ours: list[Round] = field(default_factory=list)
    theirs: list[Round] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Bench:
    """All that is running: our server, MLflow's if there is one, and connections of our own."""

    ours: servers.Server
    theirs: servers.Server | None
    postgres: int
    connections: Sequence[psycopg.Connection]

    def measure(self, job: Job) -> Measured:
        """Rounds in turn: ours, MLflow's, the floor; the first of each is a warm-up."""
        found = Measured()
        for turn in range(ROUNDS + 1):
            numbers = range(job.first + turn * job.count, job.first + (turn + 1) * job.count)
            found.ours.append(self._drive(self.ours, [job.ours(number) for number in numbers]))
            if self.theirs is not None:
                found.theirs.append(self._drive(self.theirs, [job.theirs(number) for number in numbers]))
            found.floor.append(floor.per_second(self.connections, job.floor, [adapter(number) for number in numbers]))
        return Measured(found.ours[1:], found.theirs[1:], found.floor[1:])

    def compare_lengths(self, request: Callable[[int, int], bytes]) -> tuple[float, float]:
        """Median seconds of a page of ten versions, of an adapter that has ten and of the one that has a thousand."""
        few: list[float] = []
        many: list[float] = []
        for _ in range(ROUNDS + 1):
            for found, number in ((few, 2), (many, 1)):
                sent = [request(number, SHORT_LIST)] * 50
                found.append(drive(self.ours.url, sent, at_once=1).p50_seconds)
        return statistics.median(few[1:]), statistics.median(many[1:])

    def _drive(self, server: servers.Server, sent: Sequence[bytes]) -> Round:
        return drive(server.url, sent, at_once=AT_ONCE, servers=[server.pid, self.postgres])


def jobs(ours: Ours, theirs: Mlflows) -> list[Job]:
    """What is measured, and how many times as fast as MLflow it is meant to be."""
    return [
        Job("register a version", 200, 2, 1.5, ours.register, theirs.register, floor.register),
        Job("roll back", 200, FIRST_ROLLED_BACK, 2.5, ours.roll_back, theirs.roll_back, floor.roll_back),
        Job("list 10 versions", 200, 2, 1.5, ours.list_versions, theirs.list_versions, floor.list_versions),
        Job("list 100 adapters", 60, 2, 8.0, ours.list_adapters, theirs.list_adapters, floor.list_adapters),
    ]


def main() -> None:
    """Fill both databases, start both servers, measure, and print what a second holds of each."""
    django.setup()
    began = time.monotonic()
    url = os.environ["CP_DATABASE_URL"]
    command = peer()
    with ExitStack() as stack:
        connections = [stack.enter_context(psycopg.connect(url, autocommit=True)) for _ in range(AT_ONCE)]
        key = fill(connections[0])
        theirs = stack.enter_context(mlflow_server(command, url)) if command else None
        ours = stack.enter_context(servers.product())
        bench = Bench(ours, theirs, postmaster(connections[0]), connections)
        print(
            f"{rows.ADAPTERS:,} adapters, {rows.ADAPTERS * rows.VERSIONS_EACH:,} versions; {AT_ONCE} requests at once,"
        )
        print(f"medians of {ROUNDS} interleaved rounds; load of this machine before: {os.getloadavg()[0]:.1f}")
        print(f"\n{'a second':<20} {'ours':>8} {'MLflow':>8} {'ratio':>7} {'goal':>6}    CPU ms each      bare SQL")
        ours_sent = Ours(ours.url, key)
        for job in jobs(ours_sent, Mlflows(theirs.url if theirs else "")):
            print_job(job, bench.measure(job))
        print_lengths(*bench.compare_lengths(ours_sent.list_versions))
    print(f"{time.monotonic() - began:.0f} s")


def peer() -> Path | None:
    """MLflow's console script, if there is one and it is of the version that the goals are about."""
    command = servers.mlflow_command()
    if command is None:
        print("MLflow is not installed (requirements/bench.in, BENCH_MLFLOW): skipped")
        return None
    version = servers.version_of(command)
    if version != servers.MLFLOW_VERSION:
        print(f"MLflow {version} is not {servers.MLFLOW_VERSION}: skipped")
        return None
    print(f"MLflow {version}, gunicorn, {servers.WORKERS} workers of 4 threads")
    return command


def fill(connection: psycopg.Connection) -> str:
    """Our rows; the plaintext of an operator's key."""
    from accounts.access import role_permissions
    from accounts.roles import Role
    from accounts.services import issue_api_key
    from core.actors import SYSTEM
    from tenants.services.onboarding import sign_up_tenant

    sign_up_tenant(name="Bench", slug="bench", tier_key="basic", actor=SYSTEM)
    _, key = issue_api_key(name="bench", scopes=role_permissions(Role.ADMIN), actor=SYSTEM)
    connection.execute(rows.OURS)
    connection.execute(rows.ANALYZE_OURS)
    return key


@contextmanager
def mlflow_server(command: Path, url: str) -> Iterator[servers.Server]:
    """MLflow's server with the same rows, in a database of its own that goes with it."""
    database_url = url.replace("/controlplane", f"/{MLFLOW_DATABASE}", 1)
    with psycopg.connect(url, autocommit=True) as ours, tempfile.TemporaryDirectory() as folder:
        ours.execute(f"CREATE DATABASE {MLFLOW_DATABASE}")
        try:
            servers.migrate_mlflow(command, database_url=database_url)
            with psycopg.connect(database_url, autocommit=True) as theirs:
                theirs.execute(rows.MLFLOWS)
                theirs.execute(rows.ANALYZE_MLFLOWS)
            with servers.mlflow(command, database_url=database_url, folder=Path(folder)) as server:
                yield server
        finally:
            ours.execute(f"DROP DATABASE {MLFLOW_DATABASE} WITH (FORCE)")


def postmaster(connection: psycopg.Connection) -> int:
    """The process above every connection of the database."""
    backend = Path(f"/proc/{connection.info.backend_pid}/stat").read_text()
    return int(backend.rpartition(")")[2].split()[1])


def print_job(job: Job, found: Measured) -> None:
    """One line."""
    ours = statistics.median(turn.per_second for turn in found.ours)
    cpu = statistics.median(turn.cpu_seconds for turn in found.ours) * 1000
    bare = statistics.median(found.floor)
    if found.theirs:
        theirs = statistics.median(turn.per_second for turn in found.theirs)
        their_cpu = statistics.median(turn.cpu_seconds for turn in found.theirs) * 1000
        middle = f"{theirs:8.0f} {ours / theirs:7.2f} {job.goal:6.1f}   {cpu:5.1f} / {their_cpu:5.1f}"
    else:
        middle = f"{'-':>8} {'-':>7} {job.goal:6.1f}   {cpu:5.1f} /     -"
    print(f"{job.name:<20} {ours:8.0f} {middle}   {bare:8.0f} ({ours / bare:.2f})")


def print_lengths(few: float, many: float) -> None:
    """What a long history costs a short page of it."""
    print(
        f"\nten of {rows.MANY:,} versions {many * 1000:.2f} ms, ten of ten {few * 1000:.2f} ms: "
        f"ratio {many / few:.2f}, goal {SLOWER}"
    )


if __name__ == "__main__":
    main()
