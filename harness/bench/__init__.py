"""Benchmarks: this trainer and this search compared with the usual ways to write them, on one core."""
