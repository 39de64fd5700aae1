"""The `edge-dx` command: demo, inspect, verify, run, stream, look, evaluate, doctor."""

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
        help="judge images, clips or a camera",
        description="Judges each picture, and each frame of clips and cameras. Exit code: 0 all "
        "were analysed, 3 some were not, 2 usage, 1 the drop policy is fault and a frame found no "
        "room, 130 ended with Ctrl-C.",
    )
    _bundle(run)
    run.add_argument("files", nargs="*", metavar="FILE", help="files, directories or globs")
    run.add_argument("--json", action="store_true", help="one JSON object per picture per line")
    run.add_argument("--overlay", metavar="DIR", help="write a picture of each result here")
    run.add_argument("--batch", type=int, default=1, metavar="N", help="images per engine call")
    run.add_argument("--isolate", action="store_true",
                     help="read files in a process of its own with limits: for files from outside; "
                     "see docs/hostile-input.md")  # fmt: skip
    moving = run.add_argument_group("moving pictures", "See docs/streams.md.")
    moving.add_argument("--camera", metavar="WHICH", help="in place of files: a number, a device "
                        "file or a GStreamer pipeline")  # fmt: skip
    moving.add_argument("--size", type=_size, metavar="WxH", help="ask the camera for pictures of "
                        "this size and take no other")  # fmt: skip
    moving.add_argument("--drop", choices=("oldest", "newest", "fault"), default="oldest",
                        help="which frame of a camera goes when they come too fast")  # fmt: skip
    moving.add_argument("--stale", type=float, default=2.0, metavar="SECONDS",
                        help="a picture that stands still for longer is not judged")  # fmt: skip
    moving.add_argument("--every", type=int, default=1, metavar="N", help="judge every n-th frame")
    moving.add_argument("--rate", choices=("all", "realtime"), default="all",
                        help="play files frame by frame, or as they were recorded")  # fmt: skip
    run.set_defaults(act=_run, wrong=run.error)

    _stream_parser(commands.add_parser(
        "stream",
        help="judge an ECG as it comes: beats, rhythms, gaps",
        description="Prints a line for each event as it becomes certain. See docs/ecg.md. Exit "
        "code: 0 the recording was judged to its end, 1 something failed on the way (what came "
        "before stands), 2 usage, 3 there was never enough signal to judge, 130 ended with Ctrl-C.",
    ))  # fmt: skip

    look = commands.add_parser(
        "look",
        help="show what is read from a file, without any model",
        description="What the readers see in each file: size, distances, times, and what had to be "
        "assumed; slices of a series together. Exit code: 0 all were read, 3 some were not.",
    )
    look.add_argument("files", nargs="+", metavar="FILE", help="files, directories or globs")
    look.add_argument("--json", action="store_true", help="one JSON object per line")
    look.add_argument("--out", metavar="DIR", help="write each picture here as it was read")
    look.set_defaults(act=_look)

    _evaluate_parser(commands.add_parser(
        "evaluate",
        help="score ECG annotations against an expert's, as EC57 asks",
        description="Beats, runs, episodes and heart periods of ANSI/AAMI EC57, gross and average, "
        "with intervals over patients. See docs/ecg-evaluation.md. Exit code: 0 done, 1 a file "
        "could not be read or is missing, 2 usage.",
    ))  # fmt: skip

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


def _stream_parser(stream: argparse.ArgumentParser) -> None:
    _bundle(stream)
    stream.add_argument("recording", nargs="?", metavar="RECORDING", help="WFDB (its .hea), EDF, "
                        "DICOM waveform or text; - for samples on a pipe")  # fmt: skip
    stream.add_argument("--live", metavar="SOURCE", help="in place of a recording: synthetic, or a "
                        "recording that is played as it was recorded")  # fmt: skip
    stream.add_argument("--leads", metavar="NAME[,NAME]", help="which leads are judged, by name")
    stream.add_argument("--mains", choices=("50", "60", "none"), default="none",
                        help="frequency of the power line, which is then taken out")  # fmt: skip
    stream.add_argument("--answer", choices=("at_once", "one_beat_late"), help="when a beat's "
                        "class is told (default: the bundle's first)")  # fmt: skip
    stream.add_argument("--rate", choices=("all", "realtime"), help="as fast as can be, or as "
                        "recorded (default: all, of --live realtime)")  # fmt: skip
    stream.add_argument("--hz", type=float, metavar="HZ", help="samples per second of text that "
                        "does not say so, or of the synthetic source")  # fmt: skip
    stream.add_argument("--unit", metavar="UNIT", help="unit of text that does not say so")
    stream.add_argument("--json", action="store_true", help="one JSON object per event per line")
    stream.add_argument("--annotations", metavar="DIR", help="write a WFDB annotation file (.edge) "
                        "here, for edge-dx evaluate and others' tools")  # fmt: skip
    stream.add_argument("--state", metavar="FILE", help="go on from this state where it is there, "
                        "and keep it for the next time")  # fmt: skip
    stream.add_argument("--report", metavar="HTML", help="write a report of the recording")
    stream.add_argument("--view", action="store_true", help="a live view in the terminal in place "
                        "of lines")  # fmt: skip
    stream.set_defaults(act=_stream, wrong=stream.error)


def _evaluate_parser(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument("reference", metavar="REFERENCE", help="the experts' annotation file, or "
                          "a directory of them")  # fmt: skip
    evaluate.add_argument("test", metavar="TEST", help="the annotation file to be judged, or a "
                          "directory of them")  # fmt: skip
    evaluate.add_argument("--mapping", choices=("bxb-S", "ej-normal", "bxb-s"), default="bxb-S",
                          help="which class of beat each symbol is (default: bxb-S)")  # fmt: skip
    evaluate.add_argument("--from", dest="from_s", type=_seconds, default=300.0, metavar="TIME",
                          help="where the test period begins (default: 5:00)")  # fmt: skip
    evaluate.add_argument("--to", dest="to_s", type=_seconds, metavar="TIME", help="where it ends")
    evaluate.add_argument("--window", dest="window_ms", type=float, default=150.0, metavar="MS",
                          help="the match window (default: 150)")  # fmt: skip
    evaluate.add_argument("--records", metavar="WHICH", help="DS1, DS2, or names with commas")
    evaluate.add_argument("--with-paced", action="store_true",
                          help="keep the four paced records of MIT-BIH")  # fmt: skip
    evaluate.add_argument("--reference-annotator", default="atr", metavar="EXT",
                          help="extension of the experts' files (default: atr)")  # fmt: skip
    evaluate.add_argument("--test-annotator", metavar="EXT", help="extension of the files to be "
                          "judged, where there are several")  # fmt: skip
    evaluate.add_argument("--rate", type=float, metavar="HZ", help="where there is no header")
    evaluate.add_argument("--patients", metavar="CSV", help="whose each record is: columns record "
                          "(or file) and patient_id")  # fmt: skip
    evaluate.add_argument("--per-record", action="store_true", help="tell each record, too")
    evaluate.add_argument("--json", action="store_true", help="print everything as JSON")
    evaluate.set_defaults(act=_evaluate)


def _seconds(told: str) -> float:
    from edge_dx.commands.evaluate import seconds

    return seconds(told)


def _size(told: str) -> tuple[int, int]:
    """Width and height, as in 1920x1080."""
    width, _, height = told.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{told!r} is not like 1920x1080")
    return int(width), int(height)


# Each command lives in a module of its own that is imported when it is used, so that `doctor`
# works where an engine is broken and `run` loads no HTML.
def _run(options: argparse.Namespace) -> int:
    from edge_dx.commands import run

    if bool(options.files) == (options.camera is not None):
        options.wrong("give files, or --camera")
    return run.act(options)


def _stream(options: argparse.Namespace) -> int:
    from edge_dx.commands import stream

    if (options.recording is None) == (options.live is None):
        options.wrong("give a recording, or --live")
    if options.view and options.json:
        options.wrong("--view shows no JSON lines")
    return stream.act(options)


def _look(options: argparse.Namespace) -> int:
    from edge_dx.commands import look

    return look.act(options)


def _evaluate(options: argparse.Namespace) -> int:
    from edge_dx.commands import evaluate

    return evaluate.act(options)


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
