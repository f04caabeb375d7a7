"""The realm file: layout, transactions, reading, applying changesets, history."""
