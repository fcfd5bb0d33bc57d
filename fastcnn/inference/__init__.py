"""Types and shapes of values, by a table of rules: sizes are symbols while a model is read, numbers when it is bound."""
