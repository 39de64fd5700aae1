"""Pictures of an ultrasound cart over the link, each looked at, and what was found sent back.

    python examples/cart_pictures.py                       # a simulated cart behind a bad cable
    python examples/cart_pictures.py --bundle chest-tb     # pictures that this model must refuse
    python examples/cart_pictures.py /dev/ttyACM0 --bundle yours.edx

Without a bundle the dark disc in the simulated pictures is measured by a threshold, which stands
where your model will. A picture comes whole or not at all; `gap` says what is missing, and `place`
in the verdict names the picture in the cart's own numbers. Not for diagnosis.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import edge_dx
import firmware_bridge
from edge_dx.sources import from_array
from firmware_bridge.capabilities import StreamInfo
from firmware_bridge.faults import Lane, Plan
from firmware_bridge.messages import Format
from firmware_bridge.simulator import PictureStream, SimulatedDevice, Simulator

HEIGHT, WIDTH = 160, 128
MM_PER_PX = (0.3, 0.25)
"""Across and down: pixels need not be square."""
DIAMETERS_MM = (8.0, 10.0, 12.0, 14.0)

Judge = Callable[[firmware_bridge.Picture], dict[str, Any]]


def main() -> int:
    """Looks at some pictures, and prints what the cart was told."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("device", nargs="?", help="without one a cart is simulated")
    parser.add_argument("--stream", default="bmode", help="name of the stream of pictures")
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--bundle", help="a model of pictures, instead of the threshold")
    parser.add_argument("--allow-unsigned", action="store_true", help="for a bundle of your own")
    options = parser.parse_args()
    if options.bundle:
        with edge_dx.load(options.bundle, allow_unsigned=options.allow_unsigned) as model:
            return watch(options, by_model(model))
    return watch(options, by_threshold)


def watch(options: argparse.Namespace, judge: Judge) -> int:
    """The cart's pictures, one after the other."""
    if options.device:
        with firmware_bridge.connect(options.device) as link:
            look(link, options, judge)
        return 0
    cart = simulated_cart()
    cable = Plan(seed=5, to_host=Lane(drop=1e-5))  # a picture in five is lost
    with Simulator(cart, plan=cable) as simulator, firmware_bridge.connect(simulator) as link:
        look(link, options, judge)
        info = link.hello.stream(options.stream)
        counts = link.counts[options.stream]
    print(f"the cart has {len(cart.results(info.id))} results; {counts.lost_link} pictures lost")
    return 0


def look(link: firmware_bridge.Link, options: argparse.Namespace, judge: Judge) -> None:
    """Each picture gets its answer, and the cart gets both its place and the answer."""
    with link.stream(options.stream) as stream:
        for _, picture in zip(range(options.pictures), stream, strict=False):
            assert isinstance(picture, firmware_bridge.Picture)
            if picture.gap:
                print(f"missing: {picture.gap.count} pictures")
            told = judge(picture)
            link.verdict({**picture.place, **told})
            print(f"picture {picture.first_index}: {told}")


def by_model(model: edge_dx.Model) -> Judge:
    """The answer of a bundle; it is told what is known of the picture, and may refuse it."""

    def judge(picture: firmware_bridge.Picture) -> dict[str, Any]:
        across, down = picture.mm_per_px
        known = across > 0 and down > 0  # not a number where the cart does not know
        study = from_array(
            picture.pixels, modality="US", mm_per_px=(down, across) if known else None
        )
        result = model(study)
        return {
            "status": result.status.value,
            "label": result.label,
            "score": result.score,
            "reasons": [why.code.value for why in result.reasons],
        }

    return judge


def by_threshold(picture: firmware_bridge.Picture) -> dict[str, Any]:
    """Diameter of a disc of the area that is dark."""
    across, down = picture.mm_per_px
    height, width = (n // 4 for n in picture.pixels.shape)
    blocks = picture.pixels[: 4 * height, : 4 * width].reshape(height, 4, width, 4)
    dark = blocks.mean(axis=(1, 3)) < 0.5 * float(np.median(picture.pixels))
    area = float(dark.sum()) * 16 * across * down
    return {"status": "measured", "diameter_mm": round(2 * (area / np.pi) ** 0.5, 1)}


def simulated_cart() -> SimulatedDevice:
    """Ten pictures a second of speckle with a dark disc, which grows."""
    info = StreamInfo(id=1, name="bmode", kind="image", rate=(10, 1), format=Format.GREY8, bits=8)
    pictures = [drawn(diameter, seed) for seed, diameter in enumerate(DIAMETERS_MM)]
    return SimulatedDevice([PictureStream(info, pictures, MM_PER_PX)], room=65_536)


def drawn(diameter_mm: float, seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(160, 128) uint8."""
    speckle = np.random.default_rng(seed).rayleigh(60.0, (HEIGHT, WIDTH))
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    away = np.hypot((x - WIDTH / 2) * MM_PER_PX[0], (y - HEIGHT / 2) * MM_PER_PX[1])
    speckle[away < diameter_mm / 2] *= 0.1
    return np.clip(speckle, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    sys.exit(main())
