"""Passes that rewrite variants of operators into the one form that later passes and kernels know."""
