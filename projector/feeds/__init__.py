"""Where events come from: the log itself, or Kafka. Both fill the relation `batch`."""
