"""Draws discs with masks and made-up facts, and trains the network of several.py on them.

python make_several.py
edge-dx-export several.toml -o disc-case.edx
edge-dx run disc-case.edx data/case.json --allow-unsigned
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from several import build

HERE = Path(__file__).parent
COUNT = 300
MM_PER_PX = 0.5


def main() -> None:
    """Writes data/case_*.png, masks, data/cases.csv, data/case.json and data/several.pt."""
    rng = np.random.default_rng(0)
    data = HERE / "data"
    data.mkdir(exist_ok=True)
    images, facts, masks, sizes, larges = [], [], [], [], []
    rows, columns = np.mgrid[:96, :96]
    with (data / "cases.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "mask", "age", "sex", "diameter_mm", "size", "patient", "part"])
        for i in range(COUNT):
            x, y, r = rng.integers(36, 60), rng.integers(36, 60), rng.integers(10, 32)
            inside = (columns - x) ** 2 + (rows - y) ** 2 < r**2
            picture = np.clip(rng.normal(80, 20, (96, 96)) + 90 * inside, 0, 255).astype(np.uint8)
            age, sex = int(rng.integers(20, 90)), "FM"[int(rng.integers(2))]
            diameter = 2 * r * MM_PER_PX
            # What counts as large depends on the age: the picture alone does not tell.
            large = diameter > 14 + 0.2 * (age - 20)
            cv2.imwrite(str(data / f"case_{i}.png"), picture)
            cv2.imwrite(str(data / f"case_{i}_mask.png"), inside.astype(np.uint8) * 255)
            part = "validation" if i >= COUNT * 2 // 3 else "training"
            table.writerow(
                [f"case_{i}.png", f"case_{i}_mask.png", age, sex, diameter,
                 "large" if large else "small", f"patient-{i}", part]
            )  # fmt: skip
            if part == "training":
                small = cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA)
                images.append((small.astype(np.float32)[None] - 128) / 64)
                facts.append([(age - 55) / 20, float(sex == "M")])
                cut = cv2.resize(inside.astype(np.float32), (16, 16), interpolation=cv2.INTER_AREA)
                masks.append(cut[None] >= 0.5)
                sizes.append([(diameter - 20) / 10])
                larges.append([float(large)])
    case = {"image": "case_299.png", "facts": {"age_years": age, "sex": sex}}
    (data / "case.json").write_text(json.dumps(case))

    torch.manual_seed(0)
    torch.set_num_threads(1)  # so small a network is slower with more
    given = [torch.tensor(np.array(a), dtype=torch.float32) for a in (images, facts)]
    outline, size, large = (
        torch.tensor(np.array(a), dtype=torch.float32) for a in (masks, sizes, larges)
    )
    network = build().train()
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    with_logits = torch.nn.functional.binary_cross_entropy_with_logits
    for _ in range(60):
        for picked in torch.randperm(len(large)).split(32):
            score, mask, measured = network(given[0][picked], given[1][picked])
            loss = (
                with_logits(score, large[picked])
                + with_logits(mask, outline[picked])
                + torch.nn.functional.mse_loss(measured, size[picked])
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    torch.save(network.state_dict(), data / "several.pt")
    print(f"{COUNT} cases and weights in {data}; last loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
