"""Neighbours that run as one step: one fusion a file."""
