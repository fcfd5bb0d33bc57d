"""Which layers compute in which precision, by what values are on calibration data. Graphs in, graphs out; running them is the caller's."""
