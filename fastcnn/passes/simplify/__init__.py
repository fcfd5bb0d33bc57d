"""What computes nothing goes."""
