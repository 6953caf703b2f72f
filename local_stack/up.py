"""`run.py` itself: start the stack, say where to sign in, stay until Ctrl-C."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

from local_stack import emulator
from local_stack.environment import SECRETS
from local_stack.home import Home
from local_stack.paths import ROOT
from local_stack.processes import Child
from local_stack.stack import Stack
from local_stack.terminal import say, strong

HOME = Home(ROOT / "var")
LOOK_EVERY_SECONDS = 0.5
# As a real container does, so that somebody at the playground sees an answer come.
WORDS_PER_SECOND = 30.0
NEEDED_OUTSIDE = ("CP_DATABASE_URL", "CP_BROKER_URL", *SECRETS)


def run(*, empty: bool, external: bool) -> int:
    """Serve until stopped; 0 after Ctrl-C."""
    started = time.monotonic()
    env = None
    if external:
        missing = [name for name in NEEDED_OUTSIDE if not os.environ.get(name)]
        if missing:
            print(f"--external needs these in the environment (see .env.example): {', '.join(missing)}")
            return 2
        env = os.environ | {"DJANGO_SETTINGS_MODULE": "controlplane.settings"}
    with Stack(HOME, env=env) as stack:
        try:
            fill = stack.is_new and not empty and not external
            if fill:
                _turn_back_the_clock(stack)
            elif stack.home.clock_offset() < 0:
                say("data", "example data was interrupted half-way, in the past; `run.py reset` starts over")
            if not external:
                stack.start_services()
            login = stack.start_product()
            if not external:
                emulator.EmulatorClient(stack.env["AWS_ENDPOINT_URL"]).stream_at(WORDS_PER_SECOND)
            examples = stack.start_helper("examples", "demo.examples") if fill else None
            print(f"\nReady after {time.monotonic() - started:.1f} s. Sign in, once, with this link:\n")
            print(f"    {strong(stack.url + login)}\n")
            print("Ctrl-C to stop; data in ./var; `run.py reset` to start over; logs in ./var/log.", flush=True)
            if examples:
                say("data", "filling in example data: tenants, adapters, a month of usage, invoices (about a minute)")
            while True:
                time.sleep(LOOK_EVERY_SECONDS)
                stack.restart_the_dead()
                if examples and not examples.is_running():
                    say("data", _verdict(examples))
                    examples = None
        except KeyboardInterrupt:
            print("\nStopping …", flush=True)
    print("Stopped. Start again with `python3 run.py`; the data is in ./var.")
    return 0


def _turn_back_the_clock(stack: Stack) -> None:
    """Let the example data begin in the past, so that a whole month of it is closed by today."""
    from demo.examples import first_moment

    now = datetime.now(UTC)
    stack.home.clock_file.write_text(str(int((first_moment(now) - now).total_seconds())))


def _verdict(examples: Child) -> str:
    if examples.process.returncode == 0:
        return "example data is in; `run.py reset` and `run.py --empty` start without it"
    return f"example data could not be filled in completely; why is in {examples.log}"
