"""Passes that turn quantised operators into operators on bytes, in regions without float values."""
