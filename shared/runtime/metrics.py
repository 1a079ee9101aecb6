"""Every metric that Laurels exposes at `/metrics`, in Prometheus's terms; durations are in seconds."""

from math import nan

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("laurels_http_requests", "HTTP requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram("laurels_http_request_seconds", "Time until a request was answered.", ["method", "route"])
REFUSED = Counter("laurels_http_refused", "Requests refused before they were whole, by status.", ["status"])

COMMANDS = Counter("laurels_commands", "Commands decided.", ["command", "outcome"])
GROUP_SIZE = Histogram(
    "laurels_group_commands", "Commands in one group commit.", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
)

PROJECTED = Counter("laurels_projected_events", "Events that projections folded into the read models.")
BATCH_SECONDS = Histogram("laurels_projection_batch_seconds", "Time to project one batch.")
QUARANTINED = Counter("laurels_quarantined_records", "Records quarantined because they could not be applied.")
TAKEOVERS = Counter(
    "laurels_projector_takeovers", "Batches rejected by their epoch because another projector had taken over."
)

PUBLISHED = Counter("laurels_published_events", "Events that the relay published to Kafka.")

LOG_POSITION = Gauge("laurels_log_position", "Position of the last event in the event store.")
READ_POSITION = Gauge("laurels_read_position", "Position up to which the live read models have every event.")
PUBLISHED_POSITION = Gauge("laurels_published_position", "Position up to which the relay has published; relay only.")
DRIFT = Gauge("laurels_drift_rows", "Rows of the live generation that differed from the log when last verified.")
VERIFIED_POSITION = Gauge("laurels_verified_position", "Position at which the live generation was last verified.")
for _gauge in (LOG_POSITION, READ_POSITION, PUBLISHED_POSITION, DRIFT, VERIFIED_POSITION):
    # Until the database has been asked, 0 would be a claim.
    _gauge.set(nan)

PARTITION_LAG = Gauge("laurels_partition_lag", "Consumer lag of a partition's projection, in positions.", ["partition"])
PARTITION_TROUBLE = Gauge(
    "laurels_partition_trouble",
    "1 while a partition's projection makes no progress for this cause.",
    ["partition", "cause"],
)
RELAY_TROUBLE = Gauge(
    "laurels_relay_trouble", "1 while publishing makes no progress for this cause; relay only.", ["cause"]
)
