"""The code that runs in an engine's process. It imports nothing else of fastcnn, since the process may be another Python."""
