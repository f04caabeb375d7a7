"""Operational transformation of concurrent changesets, with the results of the original engine."""
