"""The fault harness: a load whose acknowledgements are recorded, faults at random moments, then a full account."""
