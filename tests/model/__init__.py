"""An in-memory realm, its server and its clients, for tests only."""
