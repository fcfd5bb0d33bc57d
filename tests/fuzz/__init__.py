"""Broken models on purpose: seeds, mutations of them, and child processes with limits that load and run what comes of it."""
