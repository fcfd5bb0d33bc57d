"""Trains models/trained/digits.onnx: `python -m models.train_digits` (needs torch, scikit-learn, onnxruntime; 20 seconds on one core).

Adam with a one-cycle learning rate, cross entropy with label smoothing, images shifted by up to one pixel; fixed seed and number of
epochs, no choice made on the held-out images.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from models.data import digits
from models.writer import Writer, state_source

TRAINED = Path(__file__).parent / "trained"
CHANNELS = (32, 32, 64, 64)
EPOCHS = 60
BATCH = 64
EXPECTED_IMAGES = 48  # held-out images stored with their probabilities


def network(net: Writer, x: str) -> str:
    """(N, 1, 8, 8) -> (N, 10) probabilities: four times conv + BN + ReLU, pooled after the second and the fourth."""
    for i, channels in enumerate(CHANNELS):
        x = net.relu(net.batch_norm(f"bn{i}", net.conv(f"conv{i}", x, channels, 3, pad=1, bias=False)))
        if i % 2 == 1:
            x = net.max_pool(x, 2, 2)
    return net.softmax(net.gemm("fc", net.flatten(x, CHANNELS[-1] * 2 * 2), 10))


class Digits(nn.Module):
    """The same network in torch, ending in logits; parameter names agree with `network`."""

    def __init__(self) -> None:
        super().__init__()
        for i, (ic, oc) in enumerate(zip((1, *CHANNELS), CHANNELS)):
            self.add_module(f"conv{i}", nn.Conv2d(ic, oc, 3, padding=1, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(oc))
        self.fc = nn.Linear(CHANNELS[-1] * 2 * 2, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i in range(len(CHANNELS)):
            x = torch.relu(self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(x)))
            if i % 2 == 1:
                x = torch.max_pool2d(x, 2)
        return self.fc(nn.functional.dropout(x.flatten(1), 0.3, self.training))


def shifted(x: torch.Tensor) -> torch.Tensor:
    """Each image moved by -1, 0 or 1 pixel in both directions, zeros shifted in.  x: (N, 1, 8, 8)."""
    padded = nn.functional.pad(x, (1, 1, 1, 1))
    moves = torch.randint(0, 3, (len(x), 2))
    return torch.stack([image[:, i:i + 8, j:j + 8] for image, (i, j) in zip(padded, moves.tolist())])


def train(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """The state of a `Digits` trained on x (n, 1, 8, 8), y (n,)."""
    torch.manual_seed(0)
    model, images, labels = Digits(), torch.from_numpy(x), torch.from_numpy(y)
    steps = -(-len(x) // BATCH)
    optimizer = torch.optim.Adam(model.parameters(), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, epochs=EPOCHS, steps_per_epoch=steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            loss = loss_of(model(shifted(images[rows])), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return {name: value.numpy() for name, value in model.state_dict().items()}


def write(state: dict[str, np.ndarray], path: Path) -> None:
    """Saves the network with input "image" (N, 1, 8, 8) and output "probabilities" (N, 10)."""
    net = Writer("digits", state_source(state))
    y = network(net, net.input("image", ("N", 1, 8, 8)))
    onnx.save(net.finish(y, "probabilities", ("N", 10)), path)


def main() -> None:
    """Trains, writes the network and its expected outputs, prints the held-out accuracy."""
    torch.set_num_threads(1)
    train_x, train_y, test_x, test_y = digits()
    write(train(train_x, train_y), TRAINED / "digits.onnx")
    session = onnxruntime.InferenceSession(TRAINED / "digits.onnx", providers=["CPUExecutionProvider"])
    probabilities = session.run(None, {"image": test_x})[0]
    hits = int((probabilities.argmax(1) == test_y).sum())
    print(f"held-out accuracy {hits} / {len(test_y)} = {hits / len(test_y):.2%}")
    np.savez_compressed(TRAINED / "digits.npz", images=(test_x[:EXPECTED_IMAGES] * 16).astype(np.uint8),
                        labels=test_y[:EXPECTED_IMAGES].astype(np.uint8), probabilities=probabilities[:EXPECTED_IMAGES])


if __name__ == "__main__":
    main()
