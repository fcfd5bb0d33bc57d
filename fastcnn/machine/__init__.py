"""The processor as numbers: which rows there are, which one planning uses, and how to measure one. Knows no convolution."""
