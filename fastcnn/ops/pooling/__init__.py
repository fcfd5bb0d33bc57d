"""Pooling, its inverse, and pooling of regions."""
