"""Shows what the layers of a network detect: strongest patches of each channel, filters, feature maps, evidence for a class."""
