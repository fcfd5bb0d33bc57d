"""Between protobuf and plain Python: element types, attributes, tensors, external data. Reader and reference are its only users."""
