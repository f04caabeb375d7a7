"""Class declarations become schemas here; schemas are validated and compared."""
