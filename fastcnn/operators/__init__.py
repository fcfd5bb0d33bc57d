"""What every operator is, as portable data: its family, how a batch of its inputs may be cut, its formula."""
