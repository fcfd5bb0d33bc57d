"""The words that all rooms speak: graph, tensor, errors."""
