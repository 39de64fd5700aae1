"""What differs from one drawn chest to the next."""

from __future__ import annotations

from dataclasses import dataclass

from edge_dx.phantom.dice import Dice


@dataclass(frozen=True)
class Body:
    """What differs from one drawn chest to the next. Lengths are shares of the picture's side."""

    angle_deg: float
    shift_x: float
    shift_y: float
    scale: float
    half_width: float  # of the lungs at their widest
    apex: float
    dome: tuple[float, float]  # picture's left, right; the liver lifts the left one
    heart: float  # half width along its long axis
    heart_tilt: float
    knob: float
    rib_gap: float
    rib_first: float
    rib_drop: float
    clavicle: float
    shoulder: float
    neck: float
    breast: float
    fat: float  # from the ribs to the skin of the flank
    depth: float  # of the chest, against the average
    seed: int


def body_from_seed(seed: int) -> Body:
    """The build, posture and position of the chest with this seed."""
    roll = Dice(seed, 0).uniform
    dome = roll(0.645, 0.75)
    return Body(
        angle_deg=roll(-2.5, 2.5),
        shift_x=roll(-0.02, 0.02),
        shift_y=roll(-0.02, 0.02),
        scale=roll(0.94, 1.04),
        half_width=roll(0.3, 0.335),
        apex=roll(0.085, 0.125),
        dome=(dome, dome + roll(0.01, 0.045)),
        heart=roll(0.15, 0.185),
        heart_tilt=roll(0.6, 0.9),
        knob=roll(0.012, 0.03),
        rib_gap=roll(0.066, 0.078),
        rib_first=roll(0.085, 0.125),
        rib_drop=roll(0.15, 0.20),
        clavicle=roll(-0.015, 0.025),
        shoulder=roll(-0.06, 0.0),
        neck=roll(0.1, 0.12),
        breast=max(0.0, roll(-0.2, 0.2)),
        fat=roll(0.085, 0.145),
        depth=roll(0.93, 1.07),
        seed=seed,
    )
