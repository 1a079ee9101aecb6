"""The event store: the append-only log of record, its head, and every way to append to it and read it."""
