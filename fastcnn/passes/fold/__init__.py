"""Passes that fold nodes into constants: weights, biases, padding, known shapes."""
