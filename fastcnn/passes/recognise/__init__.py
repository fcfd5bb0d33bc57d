"""Several nodes that spell one operator become it."""
