"""After inference: do the pooled features lie where those of the training films lie?

The graph gives the features that its head reads as one more output, so the question costs a few
thousand multiplications. The training features are described by probabilistic PCA (Tipping and
Bishop 1999, J. R. Stat. Soc. B 61:611): a few axes with their own variances, and one variance for
all that remains. The distance is the Mahalanobis distance (Lee et al. 2018, arXiv:1807.03888)
under that covariance,

    d² = (|z|² - |A z|²) / size,    z = t(features) / spread - mean

where `spread`² is the remaining variance and the rows of A are the axes v, each scaled by
√(1 - spread² / variance of v). Over the training films the mean of d² is 1, so a distance of 1.5
reads as "one and a half times as far from the middle as a training film usually is". t is the
signed square root, which evens out the variances of features that were pooled after a ReLU, and
which otherwise let a few strong channels drown the rest.

The member of the bundle is an `.npz` of `mean` (size), `axes` (k, size) and `spread` (1), float32.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_dx.bundle import Bundle
from edge_dx.errors import BundleFormatError
from edge_dx.manifest import Features, Variant
from edge_dx.result import Reason, Why
from edge_dx.sources import arrays
from edge_dx.tensors import Array

Floats = NDArray[np.float32]

_MAX_BYTES = 2**22


@dataclass(frozen=True)
class Familiar:
    """Where the features of the training films lie.

    Attributes:
        output: the features output that it is about.
        mean: (size) float32, in units of `spread`.
        axes: (k, size) float32.
        spread: standard deviation of what the axes do not explain.
        limit: distance beyond which a study is not analysed, of one variant.
    """

    output: str
    mean: Floats
    axes: Floats
    spread: float
    limit: float

    def distance(self, features: Array) -> float:
        """Distance of one study's features `(size)` from the training films'; about 1 for them."""
        z = transformed(features) / np.float32(self.spread) - self.mean
        along = self.axes @ z
        squared = (float(z @ z) - float(along @ along)) / len(z)
        return float(np.sqrt(max(squared, 0.0)))

    def check(self, features: Array) -> tuple[Why, ...]:
        """Judges one study's features `(size)`."""
        found = self.distance(features)
        if found <= self.limit:
            return ()
        told = f"distance {found:.2f} from the training films, {self.limit:.2f} accepted"
        return (Why(Reason.UNLIKE_TRAINING, f"not what the model knows ({told})"),)


def transformed(features: Array) -> Floats:
    """The signed square root of features of any shape, float32."""
    values = features.astype(np.float32)
    result: Floats = np.sign(values) * np.sqrt(np.abs(values))
    return result


def familiar_of(bundle: Bundle, variant: Variant) -> Familiar | None:
    """What a bundle knows of its training films, with the limit of a variant; None where nothing.

    Raises:
        BundleFormatError: the member is not what docs/bundle-format.md says.
    """
    told = bundle.manifest.eligibility.familiarity
    if told is None:
        return None
    assert variant.max_distance is not None, "the manifest's own check holds this"
    outputs = {o.name: o for o in bundle.manifest.outputs if isinstance(o, Features)}
    raw = bundle.members[told.file]
    try:
        return from_bytes(raw, told.output, outputs[told.output].size, variant.max_distance)
    except Exception as error:  # zipfile and numpy raise whatever the damage leads them to
        raise BundleFormatError(
            f"{bundle.path}: {told.file} cannot be read ({error}); export the bundle again",
            told.file,
        ) from error


def from_bytes(raw: bytes, output: str, size: int, limit: float) -> Familiar:
    """The same, of the member's bytes.

    Raises:
        ValueError, zipfile.BadZipFile: they are not what the module's head says.
    """
    return Familiar(output, *_read(raw, size), limit)


def _read(raw: bytes, size: int) -> tuple[Floats, Floats, float]:
    if len(raw) > _MAX_BYTES:
        raise ValueError("too large")
    found: dict[str, Array] = {}
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > _MAX_BYTES:
                raise ValueError("compressed or too large")
            found[info.filename] = arrays.parse(archive.read(info))
    if set(found) != {"mean.npy", "axes.npy", "spread.npy"}:
        raise ValueError(f"holds {', '.join(sorted(found))}")
    mean, axes, spread = found["mean.npy"], found["axes.npy"], found["spread.npy"]
    if any(
        values.dtype != np.float32 or not np.isfinite(values).all() for values in found.values()
    ):
        raise ValueError("holds other than finite float32")
    if mean.shape != (size,) or axes.ndim != 2 or axes.shape[1] != size or spread.shape != (1,):
        raise ValueError(f"does not fit {size} features")
    if not float(spread[0]) > 0:
        raise ValueError("the spread is not above zero")
    return mean, axes, float(spread[0])
