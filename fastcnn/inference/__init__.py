"""Infers the types and shapes of all values by a table of rules. Sizes are symbols while a model is read and numbers when it is bound.

The first line of each rule's docstring says the shape of its output; x is input 0, y the output.
"""
