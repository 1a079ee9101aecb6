"""The event store: the append-only log of record, and every statement that appends to it, reads it or asks its positions."""
