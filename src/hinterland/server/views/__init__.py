"""Query-based synchronisation: what each client file sees of a realm, and how that follows the realm's changes.

- `queries`, `reads`, `anchors`, `anchor_index`, `projection`: pure decisions, without a file.
- `tables`: what is stored; `groups`: the queries in use, and evaluating them; `tracker`: what a changeset
  does to their results; `bootstraps`: from an old view to a new one.
- `integrator`: merging uploads of clients that see a part; `views`: what a realm file calls.

Source: spec flx.md §1 and §2.
"""
