"""Every metric that Laurels exposes at `/metrics`, in Prometheus's terms; durations are in seconds."""

from math import nan

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("laurels_http_requests", "HTTP requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram("laurels_http_request_seconds", "Time to answer a request.", ["method", "route"])
REFUSED = Counter("laurels_http_refused", "Requests refused before they were whole, by status.", ["status"])

COMMANDS = Counter("laurels_commands", "Commands decided.", ["command", "outcome"])
GROUP_SIZE = Histogram(
    "laurels_group_commands", "Commands in one group commit.", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
)

PROJECTED = Counter("laurels_projected_events", "Events folded into the read models.")
BATCH_SECONDS = Histogram("laurels_projection_batch_seconds", "Time to project one batch.")
QUARANTINED = Counter("laurels_quarantined_records", "Records put aside because they could not be applied.")
TAKEOVERS = Counter("laurels_projector_takeovers", "Batches dropped because another projector took over.")

PUBLISHED = Counter("laurels_published_events", "Events that the relay published to Kafka.")

LOG_POSITION = Gauge("laurels_log_position", "Position of the last event in the log.")
READ_POSITION = Gauge("laurels_read_position", "Position up to which everything is in the read models.")
PUBLISHED_POSITION = Gauge("laurels_published_position", "Position up to which the relay has published; relay only.")
DRIFT = Gauge("laurels_drift_rows", "Rows of the live read models that were not what the log says, when last verified.")
VERIFIED_POSITION = Gauge("laurels_verified_position", "Position at which the live read models were last verified.")
for _gauge in (LOG_POSITION, READ_POSITION, PUBLISHED_POSITION, DRIFT, VERIFIED_POSITION):
    # Until somebody has asked the database: 0 would be a claim.
    _gauge.set(nan)

PARTITION_LAG = Gauge("laurels_partition_lag", "Positions that a partition's projection is behind.", ["partition"])
PARTITION_TROUBLE = Gauge(
    "laurels_partition_trouble", "1 while something holds up a partition's projection.", ["partition", "cause"]
)
RELAY_TROUBLE = Gauge("laurels_relay_trouble", "1 while something holds up publishing; relay only.", ["cause"])
