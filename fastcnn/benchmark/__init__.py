"""Times networks in several engines: one pinned process for each, in turn; tables, plots, and MLPerf's load scenarios."""
