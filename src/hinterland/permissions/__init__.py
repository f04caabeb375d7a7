"""Who may see and change what in a query-based realm: pure decisions, without files.

- `privileges`, `system_classes`, `foundation`: permissions that lie in the realm itself, on realm, classes and objects.
- `rules`, `rules_document`, `user_values`: rules that the operator writes, per class and role of the user.
- `policy`: what both come to for one user; `upload`: judging what a user changed; `concern`: what a change
  of permissions touches; `state`: what these must be told of a realm.

Source: spec features.md §4.4, §4.5; flx.md §3.
"""
