"""The whole local product as one tree of processes: started in an order that health decides, stopped in reverse.

PostgreSQL, Valkey and the local AWS start together; the database is prepared as soon as it answers; web, worker and
beat follow. A part that dies is started again, as a supervisor in production would.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from local_stack import emulator, environment, postgres, terminal, valkey
from local_stack.emulator import OPENER
from local_stack.home import Home
from local_stack.paths import ROOT, socket_folder
from local_stack.prepare import LOGIN
from local_stack.processes import Child, Guard, Part, StartFailed, spawn

QUEUES = "prompt,reconcile,metering,billing"
# Whoever uses a service stops before it does.
STOP_ORDER = (("beat", "web", "worker"), ("aws", "valkey"), ("postgres",))
LARGEST_LOG_BYTES = 5_000_000
RESTARTS_ALLOWED = 5
RESTART_WINDOW_SECONDS = 60.0


class Stack:
    """The processes of one home. A context manager: leaving it stops everything that was started in it."""

    def __init__(
        self,
        home: Home,
        *,
        env: dict[str, str] | None = None,
        aws_url: str | None = None,
        say: Callable[[str, str], None] = terminal.say,
    ) -> None:
        """Take hold of `home`. Raises AlreadyRunning.

        With `env` the database, broker and AWS are those that it names, and only the product itself is started
        here. With `aws_url` another AWS-compatible server takes the place of the emulator.
        """
        self._say = say
        self.home = home
        self.env = env or {}
        self.url = ""
        self._is_external = env is not None
        self._given_aws = aws_url
        self._parts: dict[str, Part] = {}
        self._children: dict[str, Child] = {}
        self._helpers: list[Child] = []
        self._began: dict[str, float] = {}
        self._restarts: list[float] = []
        self._lock = home.hold()
        self._guard = Guard()  # after the lock, which it shares: nobody starts here before it has cleared up
        for log in home.logs.glob("*.log"):
            if log.stat().st_size > LARGEST_LOG_BYTES:
                log.replace(log.with_suffix(".log.1"))

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- starting ---------------------------------------------------------------------------------------------
    def start_services(self) -> None:
        """PostgreSQL, Valkey and the local AWS; sets `env`. The AWS may need a moment more; `prepare` waits."""
        home = self.home
        if not home.clock_file.exists():
            home.clock_file.write_text("0")
        sockets = socket_folder(home.path)
        place = postgres.place(home.path, outside=home.outside)
        aws_port = emulator.free_port(8001)
        self.env = environment.embedded(
            database_url=place.url(),
            broker_url=valkey.url(sockets),
            aws_url=self._given_aws or f"http://127.0.0.1:{aws_port}",
            public_url="http://127.0.0.1",
            clock_file=None if self._given_aws else home.clock_file,
            keys=home.keys(),
        )
        if self._given_aws is None:
            self._launch(
                emulator.part(
                    port=aws_port,
                    clock_file=home.clock_file,
                    state=home.aws_state,
                    env=self.env,
                    log=self._log("aws"),
                    guard=self._guard,
                )
            )
        self._start(postgres.part(place, log=self._log("postgres"), guard=self._guard))
        self._start(valkey.part(home.path, sockets=sockets, log=self._log("valkey"), guard=self._guard))

    @property
    def is_new(self) -> bool:
        """Whether this home holds no database yet; ask before starting the services."""
        return not self.home.clock_file.exists()

    def wait_for_aws(self) -> None:
        """Until the local AWS answers, where this stack started one."""
        if "aws" in self._parts:
            if not self._parts["aws"].serves(self._children["aws"]):
                self._wait("aws")
            emulator.EmulatorClient(self.env["AWS_ENDPOINT_URL"]).delays(**emulator.UNHURRIED)

    def start_product(self, *, wanted_port: int = 8000) -> str:
        """Prepare the database, then web, worker and beat, all healthy; the path of a one-time login."""
        port = emulator.free_port(wanted_port)
        self.url = f"http://127.0.0.1:{port}"
        if not self._is_external:
            self.env["CP_PUBLIC_URL"] = self.url
        login = self.prepare(LOGIN)
        for part in (self._web(port), self._worker(), self._beat()):
            self._launch(part)
        for name in ("web", "worker", "beat"):
            self._wait(name)
        self.home.record(url=self.url, addresses={name: self.env[name] for name in environment.ADDRESSES})
        return login

    def prepare(self, *options: str) -> str:
        """Migrate, seed, collect static files, and meanwhile wait for AWS; with LOGIN the path of a one-time login."""
        started = time.monotonic()
        preparing = subprocess.Popen(
            [sys.executable, "-m", "local_stack.prepare", *options],
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            self.wait_for_aws()
            output, complaint = preparing.communicate(timeout=180)
        finally:
            preparing.kill()
            preparing.wait()
        if preparing.returncode != 0:
            raise StartFailed(f"The database could not be prepared:\n{complaint[-3000:]}")
        facts = json.loads(output.splitlines()[-1])
        self._say("data", f"{facts['summary']} ({time.monotonic() - started:.1f} s)")
        return str(facts["login"])

    # --- staying ----------------------------------------------------------------------------------------------
    def restart_the_dead(self) -> None:
        """Start again whatever ended by itself. Raises StartFailed when that keeps happening."""
        for name, child in list(self._children.items()):
            if child.is_running():
                continue
            self._say(name, f"stopped with exit code {child.process.returncode}; starting it again")
            child.kill()
            now = time.monotonic()
            self._restarts = [at for at in self._restarts if now - at < RESTART_WINDOW_SECONDS] + [now]
            if len(self._restarts) > RESTARTS_ALLOWED:
                raise StartFailed(f"{name} keeps stopping; its log is {child.log}, ending with\n{child.last_words()}")
            self._start(self._parts[name])

    def kill_worker(self) -> int:
        """SIGKILL the worker with all its children and start another; the process number of the killed one."""
        victim = self._children["worker"]
        victim.kill()
        self._start(self._parts["worker"])
        return victim.pid

    def start_helper(self, name: str, *module: str) -> Child:
        """Run `python -m module …` beside the product until it ends by itself, or with the stack."""
        self._helpers.append(self._spawn(name, [sys.executable, "-m", *module]))
        return self._helpers[-1]

    def stop(self) -> None:
        """Everything, users before what they use; nothing is left afterwards."""
        for helper in self._helpers:
            helper.kill()
        for names in STOP_ORDER:
            together = [self._children.pop(name) for name in names if name in self._children]
            for child in together:
                child.ask_to_stop()
            for child in together:
                child.stop()
        self.home.forget()
        self._guard.close()
        with contextlib.suppress(OSError):
            os.close(self._lock)

    # --- the product's own parts ------------------------------------------------------------------------------
    def _web(self, port: int) -> Part:
        argv = [sys.executable, "-m", "gunicorn", "controlplane.wsgi:application", "--bind", f"127.0.0.1:{port}"]
        argv += ["--workers", "2", "--worker-class", "sync", "--graceful-timeout", "5", "--no-control-socket"]
        return Part("web", lambda: self._spawn("web", argv), self._web_serves)

    def _web_serves(self, _child: Child) -> bool:
        try:
            with OPENER.open(f"{self.url}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _worker(self) -> Part:
        argv = [sys.executable, "-m", "celery", "-A", "controlplane", "worker", "-Q", QUEUES, "--concurrency", "2"]
        argv += ["--loglevel", "INFO", "--without-gossip", "--without-mingle", "--hostname", "local@%h"]
        return Part("worker", lambda: self._spawn("worker", argv), lambda child: " ready." in child.output())

    def _beat(self) -> Part:
        argv = [sys.executable, "-m", "celery", "-A", "controlplane", "beat", "--loglevel", "INFO"]
        argv += ["--schedule", str(self.home.path / "beat"), "--pidfile", ""]
        return Part("beat", lambda: self._spawn("beat", argv), lambda child: "beat: Starting" in child.output())

    def _spawn(self, name: str, argv: list[str]) -> Child:
        return spawn(name, argv, env=self.env, cwd=ROOT, log=self._log(name), guard=self._guard)

    # --- small ------------------------------------------------------------------------------------------------
    def _launch(self, part: Part) -> None:
        self._parts[part.name] = part
        self._began[part.name] = time.monotonic()
        self._children[part.name] = part.launch()

    def _wait(self, name: str) -> None:
        self._parts[name].wait(self._children[name])
        self._say(name, f"ready ({time.monotonic() - self._began[name]:.1f} s)")

    def _start(self, part: Part) -> None:
        self._launch(part)
        self._wait(part.name)

    def _log(self, name: str) -> Path:
        return self.home.logs / f"{name}.log"
