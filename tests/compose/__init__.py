"""The compose deployment, run for real: `make compose-test`."""
