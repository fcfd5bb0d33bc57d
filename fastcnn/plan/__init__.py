"""The machine half of fastcnn/: bind shapes, lower to steps, plan memory, run."""
