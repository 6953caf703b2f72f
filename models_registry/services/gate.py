"""Sends an upload through the admission gate in a process of its own, and feeds that process the bytes it asks for.

The process gets neither credentials nor a connection: this worker reads the bucket, and the bytes go through a pipe.
"""

import fcntl
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from models_registry.inspection.job import MAX_REPORT_BYTES, Job, Report

log = logging.getLogger(__name__)

PROJECT = Path(__file__).resolve().parents[2]
COPY_BYTES = 256 * 1024
PIPE_BYTES = 1024 * 1024
"""The most that Linux gives to anybody; with the default of 64 KiB reader and writer wait for each other."""
# One thread: the arithmetic is bound by memory, and each further one would reserve address space.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}

Opener = Callable[[], BinaryIO]


class GateFailed(Exception):
    """The process ended without a verdict. `code` becomes the finding's code if it keeps doing so."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def judge_upload(job: Job, openers: Sequence[Opener], packed: BinaryIO, spool: BinaryIO, *, seconds: float) -> Report:
    """The verdict on the files that `openers` open, in the order of `job.files`; an accepted one fills `packed`.

    `spool` and `packed` are empty files of the operating system. Raises GateFailed when the process crashes
    (inspection_crashed) or does not end in time (inspection_timeout), and whatever an opener or its stream raised.
    """
    ours, theirs = socket.socketpair()
    descriptors = (theirs.fileno(), spool.fileno(), packed.fileno())
    with ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-E", "-s", "-m", "models_registry.inspection", *map(str, descriptors)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=descriptors,
                env=_ENVIRONMENT,
                cwd=PROJECT,
            )
        feeder = _Feeder(ours, openers)
        feeder.start()
        try:
            out, complaint = process.communicate(msgspec.json.encode(job), timeout=seconds)
        except subprocess.TimeoutExpired:
            out, complaint = b"", b""
        finally:
            ended = process.returncode is not None
            if not ended:
                process.kill()
                process.communicate()
            feeder.stop()
    if feeder.failure is not None:
        raise feeder.failure
    if not ended:
        raise GateFailed("inspection_timeout", f"Reading the upload took longer than {seconds:.0f} seconds.")
    return _report(process.returncode, out, complaint)


def _report(returncode: int, out: bytes, complaint: bytes) -> Report:
    if returncode == 0 and len(out) <= MAX_REPORT_BYTES:
        with suppress(msgspec.MsgspecError):
            return msgspec.json.decode(out, type=Report)
    log.error("the gate ended with %s: %s", returncode, complaint.decode("utf-8", "replace")[-2000:])
    raise GateFailed("inspection_crashed", f"Reading the upload ended with the exit status {returncode}.")


class _Feeder(threading.Thread):
    """Answers each byte on the socket with a pipe, and pumps the file of that position into it."""

    def __init__(self, control: socket.socket, openers: Sequence[Opener]) -> None:
        super().__init__(name="gate feeder", daemon=True)
        self.failure: Exception | None = None
        self._control = control
        self._openers = openers

    def run(self) -> None:
        """Until the process is gone, or a file cannot be read."""
        try:
            while self.failure is None and (asked := self._control.recv(1)):
                self._feed(self._openers[asked[0]])
        except OSError:
            pass  # The process is gone; its exit status says why.
        finally:
            self._hang_up()

    def stop(self) -> None:
        """Let go of the process, and come back when the thread has ended."""
        self._hang_up()
        self.join()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)

    def _feed(self, opener: Opener) -> None:
        reading, writing = os.pipe()
        with closing(os.fdopen(writing, "wb", buffering=0)) as pipe:
            try:
                with suppress(OSError):
                    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
                socket.send_fds(self._control, [b"\0"], [reading])
            finally:
                os.close(reading)
            try:
                with closing(opener()) as stream:
                    while data := stream.read(COPY_BYTES):
                        _write_all(pipe, data)
            except BrokenPipeError:
                pass  # It has seen enough of this file.
            except Exception as error:
                self.failure = error


def _write_all(pipe: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[pipe.write(view) :]
