"""Other spellings become the one that later passes know."""
