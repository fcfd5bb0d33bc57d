"""Quantised operators become 8-bit ones: regions in which no value is a float."""
