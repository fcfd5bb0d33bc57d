"""Other ways to call a model than run(): coroutines (arun), and requests collected into batches (Batcher)."""
