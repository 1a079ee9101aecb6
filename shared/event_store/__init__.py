"""The event store: the append-only log of record, with every statement that appends to it or reads it."""
