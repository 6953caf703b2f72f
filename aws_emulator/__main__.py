"""`python -m aws_emulator`: serve until told to stop."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from aws_emulator.artifacts import ArtifactStore
from aws_emulator.aws_others import OtherServices
from aws_emulator.clock import Clock
from aws_emulator.cloudwatch import CloudWatch
from aws_emulator.front import Front
from aws_emulator.server import Server
from aws_emulator.shapes import warm_up
from aws_emulator.state_dir import StateDir
from aws_emulator.world import World


def main(arguments: list[str] | None = None) -> int:
    """Serve on one port until SIGTERM or SIGINT; the exit code."""
    parser = argparse.ArgumentParser(prog="aws_emulator", description="A local AWS over HTTP.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--state-dir", type=Path, help="folder that keeps the state over restarts")
    parser.add_argument("--clock-file", type=Path, help="file that holds the clock's offset in seconds")
    options = parser.parse_args(arguments)

    clock_file = options.clock_file or (options.state_dir / "clock" if options.state_dir else None)
    others = OtherServices()
    world = World(Clock(clock_file), ArtifactStore(others))
    metrics = CloudWatch(world.clock)
    keeper = StateDir(options.state_dir, world, metrics, others) if options.state_dir else None
    if keeper is not None:
        keeper.load()
    try:
        server = Server(options.host, options.port, Front(world, metrics, others).answer)
    except OSError as error:
        print(f"aws_emulator: cannot listen on {options.host}:{options.port}: {error}", file=sys.stderr)
        return 1
    if keeper is not None:
        keeper.start()
    threading.Thread(target=warm_up, daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"aws_emulator: http://{options.host}:{server.server_address[1]}", flush=True)
    server.serve_forever(poll_interval=0.1)
    if keeper is not None:
        keeper.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
