"""Whether the kernels are right on this machine: small networks that reach every kind of step, beside numpy."""
from fastcnn.selftest.check import coverage, self_test

__all__ = ["coverage", "self_test"]
