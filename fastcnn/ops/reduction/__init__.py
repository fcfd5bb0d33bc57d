"""Reductions, softmax, normalisations."""
