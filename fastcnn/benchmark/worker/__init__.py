"""What runs in the process of an engine. It imports nothing of fastcnn outside of this folder: that may be another Python."""
