"""What a model is made of and what its layers do, as plain data: summaries, profiles, comparisons. The command line prints them."""
