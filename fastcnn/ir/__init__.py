"""The types that all rooms share: Graph and Node, Tensor, Spec, errors."""
