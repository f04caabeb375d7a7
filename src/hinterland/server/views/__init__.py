"""Query-based synchronisation: what each client file sees of a realm, and how that follows the realm's changes.

- `queries`, `reads`, `anchors`, `anchor_index`, `projection`: pure decisions, without a file.
- `includes`, `closures`, `links`, `link_history`, `reach`, `closure_graph`, `closure_tracker`, `reached_table`: what
  objects link to and is brought along, from what that is to the algorithm that keeps it.
- `tables`: what is stored; `groups`: the queries in use, and evaluating them; `tracker`: what a changeset
  does to their results; `bootstraps`: from an old view to a new one.
- `integrator`: merging uploads of clients that see a part; `views`: what a realm file calls.

Source: spec flx.md §1 and §2.
"""
