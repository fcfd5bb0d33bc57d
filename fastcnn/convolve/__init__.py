"""How a convolution is computed: what can compute it, which of these is chosen, and with which weights packed."""
