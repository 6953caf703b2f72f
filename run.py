#!/usr/bin/env python3
"""`python3 run.py`: install what is missing, start everything, print where to sign in. `--help` lists the rest.

This file must parse on any Python 3, so that an old one gets a sentence and not a syntax error.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  (the message is for exactly those who are too old)
    sys.exit(
        "This needs Python 3.11 or newer, and this is Python %d.%d (%s).\n"  # noqa: UP031
        "Run it with a newer one, for example: python3.11 run.py"
        % (sys.version_info[0], sys.version_info[1], sys.executable)
    )

from local_stack.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
