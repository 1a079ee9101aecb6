"""The relay: publishes the log to Kafka, under a lease that one relay has at a time."""
