"""What the layers of a network detect: patches that activate a channel most, filters, feature maps, evidence for a class."""
