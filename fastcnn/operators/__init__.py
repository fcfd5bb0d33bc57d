"""A card for every operator with a kernel: portable facts such as its family, its batch rule and its formula."""
