"""Planning for one machine: bind shapes, lower nodes to steps, plan memory, run."""
