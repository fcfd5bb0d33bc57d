"""What finds elements, or places them, by index."""
