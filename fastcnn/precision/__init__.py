"""Chooses the precision of layers from values on calibration data. Takes graphs and returns graphs; the caller runs them."""
