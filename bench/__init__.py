"""Benchmarks: whole networks against other engines (bench.models), single layers by every algorithm (bench.layers)."""
