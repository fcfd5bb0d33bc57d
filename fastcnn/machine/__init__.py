"""The processor as numbers for the cost model: a table of processors, the row in use, and how to measure one."""
