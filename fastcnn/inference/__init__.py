"""Types and shapes of values before sizes are known: what onnx infers, distrusted where it is wrong, and symbolic sizes."""
