"""Choices by measurement: candidates timed on this machine with weights from memory, answers kept on disk. Knows shapes, no graph."""
