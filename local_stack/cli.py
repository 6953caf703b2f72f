"""`run.py`'s words: what each does is what `--help` says."""

from __future__ import annotations

import argparse
import signal
import sys

from local_stack import bootstrap

DESCRIPTION = """\
Control plane for multi-tenant generative AI. Without a word it installs what is missing, starts PostgreSQL, Valkey,
a local AWS, the web server, a worker and the scheduler, and prints where to sign in. Ctrl-C stops all of it; the
data stays in ./var. Nothing outside this folder is used, whatever the environment holds, except with --external."""


def main(argv: list[str]) -> int:
    """Run one word; the process's exit code."""
    # What follows `manage` is Django's to read, its options and its --help too.
    is_management = argv[:1] == ["manage"]
    options = argparse.Namespace(run=_manage) if is_management else _parser().parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    from local_stack.home import AlreadyRunning
    from local_stack.processes import StartFailed

    try:
        return int(options.run(options, argv))
    except (AlreadyRunning, StartFailed, bootstrap.InstallFailed) as refusal:
        print(refusal, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _interrupt(_number: int, _frame: object) -> None:
    """Ctrl-C, `kill` and a closed terminal all mean the same, also where a shell had us ignore them."""
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(run=_up)
    parser.add_argument("--empty", action="store_true", help="start without the example data")
    parser.add_argument(
        "--external",
        action="store_true",
        help="use the database, broker and AWS that the environment names (see .env.example), not embedded ones",
    )
    words = parser.add_subparsers(title="words", metavar="WORD")

    test = words.add_parser("test", help="check everything: lint, types, contracts, migrations, all tests")
    test.add_argument("parts", nargs="*", metavar="PART", help="only these parts; `run.py test --list` names them")
    test.add_argument("--list", action="store_true", help="name the parts")
    test.add_argument("--long", action="store_true", help="also the full counts of the tests marked `long`")
    test.set_defaults(run=_test)

    demo = words.add_parser("demo", help="do the main job without a person, in a stack of its own under var/demo")
    demo.add_argument("--json", metavar="FILE", help="write the summary there")
    demo.add_argument("--trace", metavar="FILE", help="replay this CSV (TIMESTAMP,ContextTokens,GeneratedTokens)")
    demo.add_argument("--external-aws", metavar="URL", help="another AWS-compatible server, on loopback")
    demo.set_defaults(run=_demo)

    bench = words.add_parser("bench", help="measure one thing in a stack of its own; without a name: list them")
    bench.add_argument("name", nargs="?", metavar="NAME")
    bench.add_argument("--long", action="store_true", help="with the full counts")
    bench.set_defaults(run=_bench)

    words.add_parser("manage", help="a management command, with the running stack's settings and data")

    words.add_parser("doctor", help="look at this machine: what is installed, what runs, what is wrong").set_defaults(
        run=_doctor
    )
    reset = words.add_parser("reset", help="delete ./var and everything that belongs to it (asks first)")
    reset.add_argument("--yes", action="store_true", help="do not ask")
    reset.set_defaults(run=_reset)
    return parser


def _up(options: argparse.Namespace, argv: list[str]) -> int:
    _install("local", argv)
    from local_stack import up

    return up.run(empty=options.empty, external=options.external)


def _test(options: argparse.Namespace, argv: list[str]) -> int:
    from local_stack import testing

    if options.list:
        print("\n".join(testing.PARTS))
        return 0
    _install("browser", argv)
    return testing.run(options.parts, long=options.long)


def _demo(options: argparse.Namespace, argv: list[str]) -> int:
    _install("local", argv)
    from demo import command

    return command.run(json_file=options.json, trace=options.trace, external_aws=options.external_aws)


def _bench(options: argparse.Namespace, argv: list[str]) -> int:
    _install("dev", argv)
    from local_stack import side_commands

    return side_commands.bench(options.name, is_long=options.long)


def _manage(_options: argparse.Namespace, argv: list[str]) -> int:
    _install("local", argv)
    from local_stack import side_commands

    return side_commands.manage(argv[1:])


def _doctor(_options: argparse.Namespace, _argv: list[str]) -> int:
    from local_stack import doctor

    return doctor.run()


def _reset(options: argparse.Namespace, _argv: list[str]) -> int:
    from local_stack import side_commands

    return side_commands.reset(confirmed=options.yes)


def _install(group: str, argv: list[str]) -> None:
    """Install `group` if needed and go on in its Python."""
    bootstrap.ensure(group)
    bootstrap.enter(argv)
