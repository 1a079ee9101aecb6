"""The whole of Laurels in one process, over a PostgreSQL that it starts itself."""
