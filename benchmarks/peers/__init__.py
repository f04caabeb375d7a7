"""Workload L (one process, 100,000 objects) for Hinterland and for what one would use instead, a module each."""
