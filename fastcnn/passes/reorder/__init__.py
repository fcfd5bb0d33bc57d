"""Nodes change places where that is cheaper."""
