"""The sync protocol without I/O: messages, and the machines of both ends."""
