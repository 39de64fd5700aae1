"""The contenders of `runtime.py`, each a class with `setup()` and `__call__(path)`.

Also run as a program, `python benchmarks/peers.py NAME BUNDLE FILM`: sets one of them up in a
fresh process, judges one film, and prints one JSON line with the answer and the peak memory. That
is how start-up and memory are measured.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


class Floor:
    """(a) The floor: OpenCV reads and resizes, a bare onnxruntime session runs. Nothing else."""

    variant = "onnx-int8"

    def __init__(self, bundle: str) -> None:
        self.bundle = bundle

    def setup(self) -> None:
        import cv2
        import onnxruntime as ort

        self.cv2 = cv2
        cv2.setNumThreads(1)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(
            _member(self.bundle, f"variants/{self.variant}.onnx"),
            options,
            providers=["CPUExecutionProvider"],
        )
        self.side = self.session.get_inputs()[0].shape[-1]

    def __call__(self, path: str) -> float:
        grey = self.cv2.imread(path, self.cv2.IMREAD_GRAYSCALE)
        return self.from_array(grey)

    def from_array(self, grey: Any) -> float:
        small = self.cv2.resize(grey, (self.side, self.side), interpolation=self.cv2.INTER_AREA)
        return float(self.session.run(None, {"image": small[None, None]})[0][0, 0])


class FloorFp32(Floor):
    """The floor with the fp32 file."""

    variant = "onnx-fp32"


class FloorPrepared(Floor):
    """The floor with the whole preparation of the model in place of one resize.

    What edge_dx takes above this is its own: checks of the file, digests, gates, heat map,
    findings, the result.
    """

    def setup(self) -> None:
        from edge_dx.bundle import open_bundle
        from edge_dx.image import compile_steps

        super().setup()
        self.prepare = compile_steps(open_bundle(self.bundle).manifest.inputs[0].prepare)

    def from_array(self, grey: Any) -> float:
        feed = {"image": self.prepare(grey)[None, None]}
        return float(self.session.run(None, feed)[0][0, 0])


class Plain(Floor):
    """(c) The script that users write: Pillow, numpy, onnxruntime with its defaults but threads."""

    def setup(self) -> None:
        import numpy as np
        import onnxruntime as ort
        from PIL import Image

        self.np, self.image = np, Image
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(
            _member(self.bundle, f"variants/{self.variant}.onnx"), options
        )
        self.side = self.session.get_inputs()[0].shape[-1]

    def __call__(self, path: str) -> float:
        np = self.np
        film = self.image.open(path).convert("L").resize((self.side, self.side))
        pixels = np.asarray(film, np.float32)
        low, high = np.percentile(pixels, [1, 99])
        pixels = np.clip((pixels - low) / max(high - low, 1) * 255, 0, 255).round()
        feed = pixels.astype(np.uint8)[None, None]
        logit = self.session.run(["logits"], {"image": feed})[0][0, 0]
        return float(1 / (1 + np.exp(-logit)))


class Torch(Floor):
    """(b) torch eager on the same weights, read and resized like the floor."""

    compiled = False

    def setup(self) -> None:
        import cv2
        import torch
        from safetensors.torch import load_file

        from export.networks import chest

        self.cv2, self.torch = cv2, torch
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        model = chest.build().eval()
        weights = Path(chest.__file__).parents[1] / "zoo" / "chest_tb" / "weights.safetensors"
        model.load_state_dict(load_file(weights))
        self.model: Any = torch.compile(model) if self.compiled else model
        self.side = chest.SIDE_PX

    def from_array(self, grey: Any) -> float:
        small = self.cv2.resize(grey, (self.side, self.side), interpolation=self.cv2.INTER_AREA)
        with self.torch.inference_mode():
            tensor = (self.torch.from_numpy(small)[None, None].float() - 128) * (1 / 64)
            return float(self.model(tensor)[0][0, 0])


class TorchCompile(Torch):
    """(b) the same through `torch.compile`."""

    compiled = True


class EdgeDx(Floor):
    """(d) edge_dx as its users call it."""

    def setup(self) -> None:
        import edge_dx

        self.model = edge_dx.load(self.bundle, self.variant)

    def __call__(self, path: str) -> float:
        return self._score(path)

    def from_array(self, grey: Any) -> float:
        return self._score(grey)

    def _score(self, study: Any) -> float:
        result = self.model(study)
        assert result.score is not None, result
        return float(result.score)


class EdgeDxFp32(EdgeDx):
    """edge_dx with the fp32 file."""

    variant = "onnx-fp32"


PEERS: dict[str, type[Floor]] = {
    "floor-int8": Floor,
    "floor-fp32": FloorFp32,
    "floor-prepared-int8": FloorPrepared,
    "torch": Torch,
    "torch-compile": TorchCompile,
    "plain-int8": Plain,
    "edge_dx-int8": EdgeDx,
    "edge_dx-fp32": EdgeDxFp32,
}


def _member(bundle: str, name: str) -> bytes:
    import zipfile

    with zipfile.ZipFile(bundle) as archive:
        return archive.read(name)


if __name__ == "__main__":
    peer = PEERS[sys.argv[1]](sys.argv[2])
    peer.setup()
    answer = peer(sys.argv[3])
    # Not ru_maxrss: that one starts with what the parent held when it forked.
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(f'{{"answer": {answer}, "peak_mb": {peak:.1f}}}', flush=True)
