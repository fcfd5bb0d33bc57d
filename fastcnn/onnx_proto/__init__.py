"""Converts between protobuf messages and plain Python: element types, attributes, tensors, external data."""
