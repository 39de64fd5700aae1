"""The `edge-dx` command: demo, inspect, verify, run, doctor."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from edge_dx import __version__
from edge_dx.errors import EdgeDxError

EXIT_ALL_ANALYSED = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_SOME_NOT_ANALYSED = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        code: int = options.act(options)
    except EdgeDxError as error:
        print(f"edge-dx: {error}", file=sys.stderr)
        return EXIT_USAGE if options.command == "run" else EXIT_FAILED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our lines has gone
        sys.stderr.close()
        return EXIT_FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-dx",
        description="Runs medical imaging models at the point of care. Not for diagnosis.",
    )
    parser.add_argument("--version", action="version", version=f"edge-dx {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="judge images",
        description="Judges each file. Exit code: 0 all were analysed, 3 some were not, 2 usage.",
    )
    _bundle(run)
    run.add_argument("files", nargs="+", metavar="FILE", help="files, directories or globs")
    run.add_argument("--json", action="store_true", help="one JSON object per input per line")
    run.add_argument("--overlay", metavar="DIR", help="write a picture of each result here")
    run.add_argument("--batch", type=int, default=1, metavar="N", help="images per engine call")
    run.set_defaults(act=_run)

    verify = commands.add_parser("verify", help="prove a bundle on this device")
    _bundle(verify)
    verify.add_argument("--json", action="store_true", help="print the proofs as JSON")
    verify.set_defaults(act=_verify)

    inspect = commands.add_parser("inspect", help="show what a bundle promises")
    _bundle(inspect, choice=False)
    inspect.add_argument("--json", action="store_true", help="print the manifest itself")
    inspect.set_defaults(act=_inspect)

    doctor = commands.add_parser("doctor", help="show what this device has and lacks")
    doctor.set_defaults(act=_doctor)

    demo = commands.add_parser("demo", help="verify, judge phantoms and write a report")
    _bundle(demo, default="chest-tb")
    demo.add_argument("--out", default="edge-dx-demo", metavar="DIR", help="where to write")
    demo.add_argument("--films", metavar="DIR", help="judge these films too; with a labels.csv "
                      "(file, label) the report has metrics")  # fmt: skip
    demo.set_defaults(act=_demo)
    return parser


def _bundle(
    parser: argparse.ArgumentParser, *, choice: bool = True, default: str | None = None
) -> None:
    told = "path of an .edx bundle, or the bare name of a shipped or installed one"
    if default:
        parser.add_argument("--bundle", default=default, metavar="BUNDLE", help=told)
    else:
        parser.add_argument("bundle", metavar="BUNDLE", help=told)
    parser.add_argument("--allow-unsigned", action="store_true", help="accept an unsigned bundle")
    parser.add_argument("--trust", metavar="DIR", help="directory of accepted public keys (*.pub)")
    if choice:
        parser.add_argument("--variant", metavar="NAME", help="which encoding to run")
        parser.add_argument("--engine", metavar="NAME", help="which engine to run it on")
        parser.add_argument("--threads", type=int, metavar="N", help="threads for one inference")
        parser.add_argument("--allow-slow", action="store_true", help="run TFLite operators that "
                            "no fast kernel takes here, in place of refusing")  # fmt: skip


# Each command lives in a module of its own that is imported when it is used, so that `doctor`
# works where an engine is broken and `run` loads no HTML.
def _run(options: argparse.Namespace) -> int:
    from edge_dx.commands import run

    return run.act(options)


def _verify(options: argparse.Namespace) -> int:
    from edge_dx.commands import verify

    return verify.act(options)


def _inspect(options: argparse.Namespace) -> int:
    from edge_dx.commands import inspect

    return inspect.act(options)


def _doctor(options: argparse.Namespace) -> int:
    from edge_dx.commands import doctor

    return doctor.act(options)


def _demo(options: argparse.Namespace) -> int:
    from edge_dx.commands import demo

    return demo.act(options)


if __name__ == "__main__":
    sys.exit(main())
