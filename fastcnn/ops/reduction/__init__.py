"""What takes one number of many: reductions, softmax, normalisations."""
