"""Resize, GridSample, AffineGrid: images sampled at other positions."""
