"""Reads one upload in a process of its own: `python -m models_registry.inspection CONTROL SPOOL PACKED`.

The three arguments are inherited file descriptors: a Unix socket to the worker, and two empty files. The job comes on
standard input, the report goes to standard output. To read an upload's file the process sends the file's position as
one byte over the socket and is given the end of a pipe; it has no network, no database and no environment. Whatever
the upload makes of this process, its memory, time and output are bounded, and the worker lives on.
"""

from __future__ import annotations

import gc
import os
import resource
import socket
import sys
from functools import partial
from typing import BinaryIO

import msgspec

from models_registry.inspection.engines import load_engine
from models_registry.inspection.job import Job, Report, ReportedArtifact
from models_registry.inspection.repack import write_artifact
from models_registry.inspection.sources import PlainFile, source_of_upload
from models_registry.inspection.verdict import inspect_adapter

MAX_ADDRESS_SPACE = 512 * 1024 * 1024
MAX_CPU_SECONDS = 120
"""The largest upload takes about 30: 5 GiB inflated, digested, looked at and written again."""
HEADROOM_BYTES = 16 * 1024 * 1024
READ_BYTES = 256 * 1024


def limit(max_bytes: int) -> None:
    """Bound this process before it reads a byte of the upload."""
    # Short-lived, and what it keeps is bounded by the header's limits: looking for cycles would only cost time.
    gc.disable()
    for which, most in (
        (resource.RLIMIT_AS, MAX_ADDRESS_SPACE),
        (resource.RLIMIT_CPU, MAX_CPU_SECONDS),
        (resource.RLIMIT_FSIZE, max_bytes + HEADROOM_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(which, (most, most))


def ask_for(control: socket.socket, position: int) -> BinaryIO:
    """A new read of the upload's file at that position, from its start."""
    control.sendall(bytes([position]))
    _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
    if not descriptors:
        raise SystemExit("the worker is gone")
    return os.fdopen(descriptors[0], "rb", buffering=READ_BYTES)


def judge(job: Job, control: socket.socket, spool: BinaryIO, packed: BinaryIO) -> Report:
    """The verdict over the upload; accepted ones are repacked."""
    files = [
        PlainFile(file.name, file.size, partial(ask_for, control, position)) for position, file in enumerate(job.files)
    ]
    verdict = inspect_adapter(
        source_of_upload(files, job.max_bytes),
        base=job.base,
        engine=load_engine(job.engine),
        max_rank=job.max_rank,
        spool=spool,
    )
    artifact = None
    if verdict.content is not None:
        written = write_artifact(spool, verdict.content, packed)
        artifact = ReportedArtifact(written.sha256, written.size_bytes)
    return Report(verdict.accepted, verdict.findings, verdict.facts, artifact)


def main() -> None:
    """Read the job, judge, write the report."""
    control_number, spool_number, packed_number = map(int, sys.argv[1:4])
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    limit(job.max_bytes)
    with (
        socket.socket(fileno=control_number) as control,
        os.fdopen(spool_number, "w+b") as spool,
        os.fdopen(packed_number, "wb") as packed,
    ):
        report = judge(job, control, spool, packed)
    sys.stdout.buffer.write(msgspec.json.encode(report))


if __name__ == "__main__":
    main()
