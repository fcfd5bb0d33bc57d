"""What constants can take in."""
