"""Small services to begin with."""
