"""How a convolution is computed: the algorithms that there are, the choice among them, and the packing of their weights."""
