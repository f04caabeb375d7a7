"""The live layer: realms, objects, collections and results on one thread."""
