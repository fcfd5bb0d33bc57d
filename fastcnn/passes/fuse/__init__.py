"""A node takes in the one behind it."""
