"""Summaries, profiles and comparisons of models as plain data, which the command line prints."""
