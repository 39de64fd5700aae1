"""edge_dx: runs quantized medical imaging models at the point of care.

    import edge_dx

    model = edge_dx.load("chest-tb")
    result = model("film.png")
    result.status, result.label, result.score

Importing this package imports neither numpy's heavier friends nor any engine: OpenCV, pydicom and
onnxruntime come in when they are first used.
"""

from edge_dx.model import Model, load
from edge_dx.result import Reason, Result, Status
from edge_dx.sources import Study
from edge_dx.sources import from_array as study
from edge_dx.trust import TrustStore

__version__ = "0.1.0"

__all__ = ["Model", "Reason", "Result", "Status", "Study", "TrustStore", "load", "study"]
