"""Machine choices of one layer: algorithm, tile, blocking. Knows shapes and the processor, no graph and no memory plan."""
