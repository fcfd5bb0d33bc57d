"""Passes that remove nodes that compute nothing."""
