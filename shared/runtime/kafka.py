"""Kafka as the services see it: does a broker answer, and is the topic as the log needs it."""

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from shared.runtime.settings import Settings

logger = logging.getLogger(__name__)


class WrongTopic(Exception):
    """The topic exists with another number of partitions than the log has."""


async def broker_answers(settings: Settings) -> bool:
    """Tell whether a broker answers a request for metadata."""
    try:
        async with _admin(settings) as admin:
            await admin.list_topics()
    except (KafkaError, OSError):
        return False
    return True


async def ensure_topic(settings: Settings, partitions: int) -> None:
    """Create the topic if it is absent. Raises WrongTopic, or a KafkaError while no broker answers."""
    async with _admin(settings) as admin:
        with contextlib.suppress(TopicAlreadyExistsError):
            await admin.create_topics([NewTopic(settings.kafka_topic, partitions, settings.kafka_replication)])
        described = await admin.describe_topics([settings.kafka_topic])
    found = len(described[0]["partitions"])
    if described[0]["error_code"] == 0 and found != partitions:
        message = (
            f"The topic {settings.kafka_topic} has {found} partitions and the log has {partitions}: "
            "delete the topic, or name another with LAURELS_KAFKA_TOPIC; it is filled from the log."
        )
        raise WrongTopic(message)


@contextlib.asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers, request_timeout_ms=5_000)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
