"""Passes that fuse a node into the epilogue of the node before it."""
