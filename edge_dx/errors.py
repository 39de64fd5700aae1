"""Every error that edge_dx raises on purpose, as one small tree.

    EdgeDxError
    ├── BundleError             the file that carries the model is not what it must be
    │   ├── BundleFormatError   not an .edx archive, or not its one canonical byte sequence
    │   ├── UnsafeMember        a member whose name or storage could harm the reader
    │   ├── BundleTooLarge      more bytes or members than the reader accepts
    │   ├── MissingMember       the manifest names a member that is not there
    │   ├── DigestMismatch      a member's bytes are not those that were signed
    │   ├── ManifestError       the manifest breaks its vocabulary
    │   ├── SchemaTooNew        written for a newer edge_dx
    │   └── MissingOperatingPoint   a variant without thresholds of its own
    ├── TrustError              who made this bundle?
    │   ├── Unsigned            nobody says
    │   ├── BadSignature        the signature does not fit the manifest
    │   └── UntrustedKey        signed, but by a key this device does not accept
    ├── NotFound                no bundle, variant or file of that name
    ├── MissingExtra            an optional package is needed and not installed
    ├── EngineError             the inference engine
    │   ├── EngineMissing       asked for and not installed
    │   ├── EngineRefused       cannot run this variant the way it was asked to
    │   └── EngineFailed        raised while running; the vendor's error is the cause
    ├── TensorMismatch          an array does not fit the model's stated input or output
    ├── Overrun                 frames came faster than they were judged, and none may be lost
    ├── OutOfOrder              samples came whose index has passed already
    ├── NotIsolated             a limited process was asked for and cannot be had here
    ├── ProofFailed             golden inputs do not give the golden outputs on this device
    └── InputError              the study could not be used; carries the reason code
        ├── UnreadableInput     damaged, truncated, or not what its name says
        └── UnsupportedInput    well-formed, but edge_dx cannot read this kind

A message says what is wrong, names the file or member, and says what to do about it.
"""

from __future__ import annotations


class EdgeDxError(Exception):
    """Base of all errors that edge_dx raises on purpose."""


class BundleError(EdgeDxError):
    """A bundle that must not be used.

    Attributes:
        member: the archive member at fault, or None where it is the archive itself.
    """

    def __init__(self, message: str, member: str | None = None) -> None:
        super().__init__(message)
        self.member = member


class BundleFormatError(BundleError):
    """Not an `.edx` archive, or not the canonical byte sequence of its members."""


class UnsafeMember(BundleError):
    """A member whose name or storage could harm the reader."""


class BundleTooLarge(BundleError):
    """The archive claims more bytes or members than the reader accepts."""


class MissingMember(BundleError):
    """The manifest names a member that is not there, or the manifest itself is missing."""


class DigestMismatch(BundleError):
    """A member's bytes are not the ones whose SHA-256 the manifest carries."""


class ManifestError(BundleError):
    """The manifest breaks its closed vocabulary or contradicts itself."""


class SchemaTooNew(BundleError):
    """The bundle was written for a newer edge_dx than this one."""


class MissingOperatingPoint(BundleError):
    """A variant has no thresholds of its own, so its scores cannot become answers."""


class TrustError(EdgeDxError):
    """Who made this bundle is not settled."""


class Unsigned(TrustError):
    """The bundle carries no signature."""


class BadSignature(TrustError):
    """The signature is malformed or does not fit the manifest."""


class UntrustedKey(TrustError):
    """The bundle is signed by a key that this device's trust store does not hold."""


class NotFound(EdgeDxError):
    """No bundle, variant or file of that name."""


class MissingExtra(EdgeDxError):
    """An optional package is needed and not installed.

    Args:
        package: the importable package, for example `pydicom`.
        extra: the extra of edge-dx that brings it, for example `dicom`.
        needed_for: what the caller was doing.
    """

    def __init__(self, package: str, extra: str, needed_for: str = "this") -> None:
        super().__init__(
            f"{needed_for} needs the package {package!r}, which is not installed; "
            f"install it with: pip install 'edge-dx[{extra}]'"
        )
        self.package = package
        self.extra = extra


class EngineError(EdgeDxError):
    """An inference engine could not do what was asked of it."""


class EngineMissing(EngineError):
    """The engine that was asked for is not installed here."""


class EngineRefused(EngineError):
    """The engine is here but cannot run this variant the way it was asked to."""


class EngineFailed(EngineError):
    """The engine raised while loading or running; its own error is `__cause__`."""


class TensorMismatch(EdgeDxError):
    """An array does not fit the shape, type or name that the model states."""


class Overrun(EdgeDxError):
    """A live frame found no room, and the stream's drop policy is `fault`."""


class OutOfOrder(EdgeDxError):
    """Samples came whose index has passed already; the state is as it was before them."""


class NotIsolated(EdgeDxError):
    """Files were to be read in a limited process, and this system does not give one."""


class ProofFailed(EdgeDxError):
    """The golden inputs do not give the golden outputs on this device."""


class InputError(EdgeDxError):
    """The study could not be used.

    Attributes:
        reason: the reason code (a value of `edge_dx.result.Reason`) for the result.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnreadableInput(InputError):
    """The file is damaged, truncated, or not what its name says."""


class UnsupportedInput(InputError):
    """The file is well-formed, but of a kind that edge_dx cannot read."""
