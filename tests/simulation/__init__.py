"""Whole worlds of clients and a server, without sockets, threads or time; one seed gives one history."""
