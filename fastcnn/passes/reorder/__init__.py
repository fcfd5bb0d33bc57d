"""Passes that swap nodes where the other order is cheaper."""
