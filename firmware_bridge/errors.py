"""Every error that firmware_bridge raises on purpose, as one small tree.

    BridgeError
    ├── PortError           the port cannot be had
    │   ├── PortMissing     no such port, or nobody listens there
    │   └── PortBusy        another program has it
    ├── LinkLost            the port was there and is gone: unplugged or hung up
    │   └── Ended           the recording that was replayed is over
    ├── NoAnswer            a request was sent as often as allowed and never answered
    ├── DeviceRefused       the device answered, and the answer is an error
    ├── Incompatible        the device speaks another major version, or something else entirely
    ├── BadMessage          bytes that passed their checksum but break docs/wire.md
    ├── ImageRefused        no firmware image, or one that must not be sent
    ├── BadRecording        no recording, or a damaged one
    ├── NotServed           a stream that a model cannot judge, or a model that judges no streams
    ├── BadPlan             a plan of faults that says nothing usable
    └── MissingExtra        an optional package is needed and not installed

A damaged frame is no error: cables do that, it is counted. A message says what is wrong, names the
port or file, and says what to do about it.
"""

from __future__ import annotations


class BridgeError(Exception):
    """Base of all errors that firmware_bridge raises on purpose."""


class PortError(BridgeError):
    """A port cannot be opened or set as asked."""


class PortMissing(PortError):
    """No port of that name, or nobody listens there."""


class PortBusy(PortError):
    """Another program holds the port."""


class LinkLost(BridgeError):
    """The port was open and is gone; `__cause__` is what the system said, if anything."""


class Ended(LinkLost):
    """The recording that was replayed is over; streams end without an error."""


class NoAnswer(BridgeError):
    """A request was sent as often as allowed and never answered."""


class DeviceRefused(BridgeError):
    """The device answered a request with an error.

    Attributes:
        group: the SMP group whose code it is; of an SMP version 1 `rc`, the group that was asked.
        code: the error code within that group.
    """

    def __init__(self, message: str, group: int, code: int) -> None:
        super().__init__(message)
        self.group = group
        self.code = code


class Incompatible(BridgeError):
    """The device speaks another major version of the protocol, or another protocol."""


class BadMessage(BridgeError):
    """The frame was whole, but what it holds breaks the specification."""


class ImageRefused(BridgeError):
    """No firmware image, or one that must not be sent to this device."""


class BadRecording(BridgeError):
    """The file is no recording, or is damaged where it must not be."""


class NotServed(BridgeError):
    """What the device sends and what the model judges do not fit, or the model cannot be had."""


class BadPlan(BridgeError):
    """A plan of faults that breaks its closed vocabulary."""


class MissingExtra(BridgeError, ImportError):
    """An optional package is needed and not installed.

    Args:
        package: the importable package, for example `serial`.
        needed_for: what the caller was doing.
    """

    def __init__(self, package: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the package {package!r}, which is not installed; "
            "install it with: pip install 'edge-dx[bridge]'"
        )
        self.package = package
