"""Draws a small data set and trains the example's network on it, in a few seconds.

In your own project you have both already: a table of studies and a trained model. Then:

    python make_data_and_weights.py
    edge-dx-export recipe.toml -o shapes.edx
    edge-dx run shapes.edx data/0.png --allow-unsigned
"""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import torch
from model import build

HERE = Path(__file__).parent
SHAPES = ("disc", "square", "stripes")
COUNT = 240


def draw(shape: str, rng: np.random.Generator) -> np.ndarray:
    """A noisy 96 × 96 RGB picture (uint8) with one shape in it."""
    picture = rng.normal(90, 25, (96, 96, 3))
    colour = rng.uniform(120, 230, 3)
    x, y, r = rng.integers(30, 66), rng.integers(30, 66), rng.integers(14, 26)
    rows, columns = np.mgrid[:96, :96]
    if shape == "disc":
        inside = (columns - x) ** 2 + (rows - y) ** 2 < r**2
    elif shape == "square":
        inside = (abs(columns - x) < r) & (abs(rows - y) < r)
    else:
        inside = (rows // 8 + x) % 2 == 0
    picture[inside] = 0.6 * colour + 0.4 * picture[inside]
    return np.clip(picture, 0, 255).astype(np.uint8)


def main() -> None:
    """Writes data/*.png, data/labels.csv and data/weights.pt beside this file."""
    rng = np.random.default_rng(0)
    data = HERE / "data"
    data.mkdir(exist_ok=True)
    pictures, targets = [], []
    with (data / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "shape", "patient", "part"])
        for i in range(COUNT):
            shape = SHAPES[i % 3]
            picture = draw(shape, rng)
            cv2.imwrite(str(data / f"{i}.png"), picture[..., ::-1])
            part = "validation" if i >= COUNT * 2 // 3 else "training"
            table.writerow([f"{i}.png", shape, f"patient-{i}", part])
            if part == "training":
                small = cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA)
                pictures.append(small.transpose(2, 0, 1))
                targets.append(i % 3)

    torch.manual_seed(0)
    torch.set_num_threads(1)  # so small a network is slower with more
    mean = torch.tensor([123.675, 116.28, 103.53]).reshape(1, 3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).reshape(1, 3, 1, 1)
    images = (torch.from_numpy(np.stack(pictures)).float() - mean) / std
    labels = torch.tensor(targets)
    network = build().train()
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(30):
        for picked in torch.randperm(len(images)).split(32):
            loss = torch.nn.functional.cross_entropy(network(images[picked]), labels[picked])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    torch.save(network.state_dict(), data / "weights.pt")
    print(f"{COUNT} pictures and weights in {data}; last loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
