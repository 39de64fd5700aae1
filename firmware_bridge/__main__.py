"""The `edge-dx-bridge` command: list, info, monitor, record, replay, serve,
update, mlperf, simulate."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from firmware_bridge.devices import DEVICES
from firmware_bridge.errors import BridgeError
from firmware_bridge.profiles import PROFILES

EXIT_FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.act(options)
    except BridgeError as error:
        print(f"edge-dx-bridge: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our lines has gone
        sys.stderr.close()
        return EXIT_FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-dx-bridge",
        description="The link to wearables and cart firmware. See docs/bridge.md. Exit code: 0 "
        "done, 1 it could not be done, 2 usage, 130 ended with Ctrl-C.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="ports, with what answers on them")
    listing.add_argument("--no-ask", action="store_true", help="open none of them")
    listing.set_defaults(act=_list)

    info = commands.add_parser("info", help="what a device is, and how the link to it is")
    _target(info)
    info.add_argument("--json", action="store_true", help="as one JSON object")
    info.set_defaults(act=_info)

    monitor = commands.add_parser("monitor", help="rate, loss, latency and signal, live")
    _target(monitor)
    _seconds(monitor)
    _stream(monitor)
    monitor.set_defaults(act=_monitor)

    record = commands.add_parser("record", help="all bytes with their times, crash-safe")
    _target(record)
    record.add_argument("-o", "--out", required=True, metavar="FILE.edxr", help="a new file")
    _seconds(record)
    _stream(record)
    record.set_defaults(act=_record)

    replay = commands.add_parser("replay", help="a recording's samples as text, gaps included")
    _target(replay)
    replay.add_argument("--pace", choices=("fast", "real"), default="fast", help="how soon")
    _stream(replay)
    replay.set_defaults(act=_replay)

    serve = commands.add_parser("serve", help="a wearable's ECG → events, verdicts back")
    serve.add_argument("bundle", metavar="BUNDLE", help="of streams, for example ecg-beats")
    _target(serve)
    _stream(serve)
    _seconds(serve)
    serve.add_argument("--judge", metavar="LEAD[,LEAD]", help="which leads (default: the first "
                       "that the model knows, or the only one)")  # fmt: skip
    serve.add_argument("--answer", choices=("at_once", "one_beat_late"), help="when a beat's class "
                       "is told")  # fmt: skip
    serve.add_argument("--mains", choices=("50", "60"), help="hertz of the power line (default: "
                       "what the device says)")  # fmt: skip
    serve.add_argument("--mv-per-count", type=float, metavar="MV", help="where the device does not "
                       "know its unit")  # fmt: skip
    serve.add_argument("--verdicts", choices=("all", "alarms", "none"), default="all",
                       help="what goes back to the device (default: all)")  # fmt: skip
    serve.add_argument("--report", metavar="HTML", help="writes a report; of each run of the "
                       "device its own")  # fmt: skip
    serve.add_argument("--annotations", metavar="DIR", help="writes WFDB annotations, likewise")
    serve.add_argument("--words", action="store_true", help="lines for people in place of JSON")
    serve.add_argument("--variant", help="of the bundle")
    serve.add_argument("--engine", help="which engine runs it")
    serve.add_argument("--allow-unsigned", action="store_true", help="for development")
    serve.set_defaults(act=_serve)

    updating = commands.add_parser("update", help="new firmware: tried, confirmed, else taken back")
    _target(updating)
    updating.add_argument("image", metavar="IMAGE", help="in MCUboot's format")
    whose = updating.add_mutually_exclusive_group(required=True)
    whose.add_argument("--key", metavar="PUBLIC.pem", help="whose signature the image must have")
    whose.add_argument("--unsigned", action="store_true", help="send it whoever made it; the "
                       "device's bootloader may still refuse it")  # fmt: skip
    updating.add_argument("--allow-downgrade", action="store_true", help="send an older version")
    updating.set_defaults(act=_update)

    mlperf = commands.add_parser("mlperf", help="measure an MLPerf Tiny device, or answer as one")
    mlperf.add_argument("target", nargs="?", metavar="DEVICE", help="a device file or "
                        "socket://host:port; to be measured: the line to the host")  # fmt: skip
    mlperf.add_argument("--baud", type=int, default=115200, help="of a serial line")
    mlperf.add_argument("--input", metavar="X.npy", help="bytes, an input per row")
    mlperf.add_argument("--inferences", type=int, default=10, help="for each (default: 10)")
    mlperf.add_argument("--warmups", type=int, default=1, help="before each (default: 1)")
    mlperf.add_argument("--answer", metavar="BUNDLE", help="be the device: this model is measured")
    mlperf.add_argument("--model-name", metavar="NAME", help="that it has in the benchmark, for "
                        "example kws01 (default: the bundle's)")  # fmt: skip
    mlperf.add_argument("--port", type=int, default=0, help="to be measured over TCP (default: a "
                        "free one)")  # fmt: skip
    mlperf.add_argument("--pty", action="store_true", help="to be measured on a pseudo terminal")
    mlperf.add_argument("--variant", help="of the bundle")
    mlperf.add_argument("--engine", help="which engine runs it")
    mlperf.add_argument("--allow-unsigned", action="store_true", help="for development")
    _seconds(mlperf)
    mlperf.set_defaults(act=_mlperf)

    simulate = commands.add_parser("simulate", help="a device double")
    where = simulate.add_mutually_exclusive_group()
    where.add_argument("--port", type=int, default=0, help="TCP port (default: a free one)")
    where.add_argument("--pty", action="store_true", help="a pseudo terminal instead")
    simulate.add_argument("--faults", metavar="PLAN.toml", help="a bad cable, see docs/bridge.md")
    simulate.add_argument("--rate-hz", type=int, default=250, help="of its ECG (default: 250)")
    simulate.add_argument("--bpm", type=float, default=72.0, help="of its heart (default: 72)")
    simulate.add_argument("--ppm", type=float, default=0.0, help="how much too fast its clock runs")
    _seconds(simulate)
    simulate.set_defaults(act=_simulate)
    return parser


def _target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="DEVICE", help="a device file, socket://host:port, "
                        "rfc2217://host:port, or a recording (.edxr)")  # fmt: skip
    parser.add_argument("--baud", type=int, default=115200, help="of a serial line")
    parser.add_argument("--profile", choices=tuple(PROFILES), help="of its board: DTR, RTS and how "
                        "long it needs (default: by what its USB numbers tell)")  # fmt: skip
    parser.add_argument("--device", choices=tuple(DEVICES), default="edge-dx", help="what it is")
    parser.add_argument("--rate", type=float, metavar="HZ", help="where the device does not say it")
    parser.add_argument("--leads", metavar="A,B", help="likewise")
    parser.add_argument("--unit", help="of the numbers of a csv device")
    parser.add_argument("--step", type=float, help="smallest difference in a csv device's numbers")
    parser.add_argument("--index", action="store_true", help="a csv device's first column counts")
    parser.add_argument("--gain", type=float, help="of a Cyton's converter")


def _seconds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, metavar="S", help="end after so long")


def _stream(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stream", metavar="NAME", help="which one (default: the first, of a "
                        "recording being made all)")  # fmt: skip


# Each command is imported when it is used.
def _list(options: argparse.Namespace) -> int:
    from firmware_bridge.commands import listing

    return listing.act(options)


def _info(options: argparse.Namespace) -> int:
    from firmware_bridge.commands import info

    return info.act(options)


def _monitor(options: argparse.Namespace) -> int:
    from firmware_bridge.commands import monitor

    return monitor.act(options)


def _record(options: argparse.Namespace) -> int:
    from firmware_bridge.commands import record

    return record.act(options)


def _replay(options: argparse.Namespace) -> int:
    from firmware_bridge.commands import replay

    return replay.act(options)


def _serve(options: argparse.Namespace) -> int:
    from firmware_bridge.commands import serve

    return serve.act(options)


def _update(options: argparse.Namespace) -> int:
    from firmware_bridge.commands import updating

    return updating.act(options)


def _mlperf(options: argparse.Namespace) -> int:
    from firmware_bridge.commands import mlperf

    return mlperf.act(options)


def _simulate(options: argparse.Namespace) -> int:
    from firmware_bridge.commands import simulate

    return simulate.act(options)


if __name__ == "__main__":
    sys.exit(main())
