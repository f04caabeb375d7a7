"""Benchmarks: re-runnable, bounded in time, each figure beside its target or a reference of the same run."""
