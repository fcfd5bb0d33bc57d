"""Other ways to call a model than run(): from coroutines, and as requests that are collected into batches."""
