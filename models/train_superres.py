"""Trains models/trained/superres.onnx: `python -m models.train_superres` (needs torch, scikit-learn, scikit-image, onnxruntime;
two minutes on one core).

Doubles a luminance image.  After ESPCN (Shi et al. 2016), with two changes: ReLU for tanh, and the network adds its output to the pixels
repeated, so it learns only what enlargement has to add.  Adam, cosine learning rate, mean absolute error on random crops (flipped and
transposed) of the training photographs shrunk by `models.data.degrade`; fixed seed and number of steps, no choice made on the
held-out photographs.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from models.data import degrade, enlarge, photographs, psnr
from models.writer import Writer, state_source

TRAINED = Path(__file__).parent / "trained"
SCALE = 2
LAYERS = ((48, 5), (32, 3), (32, 3), (32, 3), (SCALE**2, 3))  # (output channels, kernel)
STEPS = 2500
BATCH = 16
CROP = 32  # pixels of the small image
EXPECTED_PATCH = ("chelsea.png", slice(48, 88), slice(60, 108))  # held out, CC0; rows and columns of the small image


def network(net: Writer, x: str) -> str:
    """(N, 1, H, W) -> (N, 1, 2 H, 2 W): clip(repeat(x) + shuffle(convolutions(x)), 0, 1)."""
    y = x
    for i, (channels, kernel) in enumerate(LAYERS):
        y = net.conv(f"conv{i}", y, channels, kernel, pad=kernel // 2)
        if i < len(LAYERS) - 1:
            y = net.relu(y)
    return net.clip01(net.add(net.depth_to_space(y, SCALE), net.resize_nearest(x, SCALE)))


class SuperRes(nn.Module):
    """The same network in torch, without the final clip; parameter names agree with `network`."""

    def __init__(self) -> None:
        super().__init__()
        ic = 1
        for i, (oc, kernel) in enumerate(LAYERS):
            self.add_module(f"conv{i}", nn.Conv2d(ic, oc, kernel, padding=kernel // 2))
            ic = oc

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for i in range(len(LAYERS)):
            y = self.get_submodule(f"conv{i}")(y)
            if i < len(LAYERS) - 1:
                y = torch.relu(y)
        repeated = nn.functional.interpolate(x, scale_factor=SCALE, mode="nearest")
        return repeated + nn.functional.pixel_shuffle(y, SCALE)


def crops(pairs: list[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """BATCH random crops (low, high), (BATCH, 1, CROP, CROP) and its double; photographs drawn by their area."""
    areas = np.array([low.size for low, _ in pairs], float)
    lows: list[np.ndarray] = []
    highs: list[np.ndarray] = []
    for which in rng.choice(len(pairs), BATCH, p=areas / areas.sum()):
        low, high = pairs[which]
        i, j = (int(rng.integers(extent - CROP + 1)) for extent in low.shape)
        small = low[i:i + CROP, j:j + CROP]
        large = high[SCALE * i:SCALE * (i + CROP), SCALE * j:SCALE * (j + CROP)]
        flip_i, flip_j, transpose = rng.integers(2, size=3)
        for patch, patches in ((small, lows), (large, highs)):
            patch = patch[::-1 if flip_i else 1, ::-1 if flip_j else 1]
            patches.append(patch.T if transpose else patch)
    return torch.from_numpy(np.stack(lows)[:, None]), torch.from_numpy(np.stack(highs)[:, None])


def train(images: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The state of a `SuperRes` trained on the photographs, each (H, W) in 0..1."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pairs = [degrade(image, SCALE) for image in images]
    model = SuperRes()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        low, high = crops(pairs, rng)
        loss = (model(low) - high).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return {name: value.numpy() for name, value in model.state_dict().items()}


def write(state: dict[str, np.ndarray], path: Path) -> None:
    """Saves the network with input "low" (N, 1, H, W) and output "high" (N, 1, 2H, 2W)."""
    net = Writer("superres", state_source(state))
    y = network(net, net.input("low", ("N", 1, "H", "W")))
    onnx.save(net.finish(y, "high", ("N", 1, f"{SCALE}H", f"{SCALE}W")), path)


def main() -> None:
    """Trains, writes the network and its expected output, prints PSNR beside bicubic on the held-out photographs."""
    torch.set_num_threads(1)
    write(train(list(photographs("train").values())), TRAINED / "superres.onnx")
    session = onnxruntime.InferenceSession(TRAINED / "superres.onnx", providers=["CPUExecutionProvider"])
    test = {file: degrade(image, SCALE) for file, image in photographs("test").items()}
    for file, (low, high) in test.items():
        ours, bicubic = psnr(session.run(None, {"low": low[None, None]})[0][0, 0], high), psnr(enlarge(low, SCALE), high)
        print(f"{file:12} bicubic {bicubic:.2f} dB, network {ours:.2f} dB, {ours - bicubic:+.2f} dB")
    file, rows, columns = EXPECTED_PATCH
    patch = np.ascontiguousarray(test[file][0][rows, columns])[None, None]
    np.savez_compressed(TRAINED / "superres.npz", low=patch, high=session.run(None, {"low": patch})[0])


if __name__ == "__main__":
    main()
