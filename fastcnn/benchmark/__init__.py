"""Networks timed in several engines: a process for each, interleaved and pinned; tables, pictures, load as MLPerf describes it."""
