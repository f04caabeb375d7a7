"""The HTTP API: tables of operations, and what serves and documents them."""
