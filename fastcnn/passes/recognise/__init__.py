"""Passes that recognise one operator spelled out in several nodes."""
