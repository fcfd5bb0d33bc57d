"""The deep Q-networks of Mnih et al.: "Human-level control through deep reinforcement learning", Nature 2015, and "Playing Atari with deep
reinforcement learning", arXiv 1312.5602 (2013).

Input (N, 4, 84, 84): the last four frames in grey.  Output: one value for each of the 18 actions of the Atari joystick.  Nature's table of
layers gives 1,693,362 parameters (8,224 + 32,832 + 36,928 + 1,606,144 + 9,234), the smaller network of 2013 has 680,770; neither paper
states a sum.
"""
from __future__ import annotations

from models.layers import flatten_maps
from models.writer import Writer

ACTIONS = 18


def _dqn(net: Writer, x: str, convolutions: tuple[tuple[int, int, int], ...], hidden: int) -> str:
    """(N, 4, 84, 84) -> (N, 18) values; convolutions: (channels, kernel, stride) each."""
    for index, (oc, kernel, stride) in enumerate(convolutions, start=1):
        x = net.relu(net.conv(f"conv{index}", x, oc, kernel, stride=stride))
    x = net.relu(net.gemm("fc1", flatten_maps(net, x), hidden))
    return net.gemm("fc2", x, ACTIONS, gain=1.0)


def dqn(net: Writer, x: str) -> str:
    """32 8x8 with stride 4, 64 4x4 with stride 2, 64 3x3, 512 units."""
    return _dqn(net, x, ((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512)


def dqn_2013(net: Writer, x: str) -> str:
    """16 8x8 with stride 4, 32 4x4 with stride 2, 256 units."""
    return _dqn(net, x, ((16, 8, 4), (32, 4, 2)), 256)
