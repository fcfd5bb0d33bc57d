"""What the number of threads of a model may be chosen for: short answers, or many of them on all CPUs together."""
LATENCY, THROUGHPUT = "latency", "throughput"
AIMS = (LATENCY, THROUGHPUT)
