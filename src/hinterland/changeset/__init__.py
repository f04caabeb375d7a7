"""Changesets: what one transaction did, as instructions, bytes and text."""
