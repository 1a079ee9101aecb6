"""The `laurels` command line, and the clients of the HTTP contract that it runs."""
