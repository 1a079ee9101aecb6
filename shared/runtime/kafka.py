"""Kafka as the services see it: does a broker answer, and is the topic as the log needs it."""

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import BrokerResponseError, KafkaError, NoError, TopicAlreadyExistsError, for_code

from shared.runtime.settings import Settings

logger = logging.getLogger(__name__)

LIMIT: Final = "max.message.bytes"


class WrongTopic(Exception):
    """The broker refuses to make the topic as the log needs it; the message says why."""


async def broker_answers(settings: Settings) -> bool:
    """Tell whether a broker answers a request for metadata."""
    try:
        async with _admin(settings) as admin:
            await admin.list_topics()
    except (KafkaError, OSError):
        return False
    return True


async def ensure_topic(settings: Settings, partitions: int) -> int | None:
    """Make the topic if it is absent, and add partitions if it has fewer than the log.

    Returns the most bytes that a batch of records may have, None if the broker does not tell. Raises WrongTopic, or a
    KafkaError while no broker answers.
    """
    topic = settings.kafka_topic
    async with _admin(settings) as admin:
        wanted = NewTopic(topic, partitions, settings.kafka_replication)
        created = (await admin.create_topics([wanted])).topic_errors[0]
        if for_code(created[1]) not in {NoError, TopicAlreadyExistsError}:
            raise WrongTopic(f"the topic {topic} cannot be created: {_reason(*created[1:])}")
        await _ensure_partitions(admin, topic, partitions)
        return await _limit(admin, topic)


async def _ensure_partitions(admin: Any, topic: str, partitions: int) -> None:  # noqa: ANN401 - aiokafka ships no types
    described = (await admin.describe_topics([topic]))[0]
    found = len(described["partitions"])
    # A topic that was just made may not be known yet, and has none then.
    if found and found < partitions:
        # As a broker makes it by itself, from somebody's question about a topic that was deleted.
        try:
            await admin.create_partitions({topic: NewPartitions(partitions)})
        except BrokerResponseError as error:
            message = f"the topic {topic} has {found} partitions and the log has {partitions}: {error}"
            raise WrongTopic(message) from error
        logger.warning("the topic %s had %d partitions and the log has %d: some were added", topic, found, partitions)
    elif found > partitions:
        logger.warning("the topic %s has %d partitions and the log has %d: some stay empty", topic, found, partitions)


async def _limit(admin: Any, topic: str) -> int | None:  # noqa: ANN401 - the same
    asked = ConfigResource(ConfigResourceType.TOPIC, topic, {LIMIT: ""})
    for response in await admin.describe_configs([asked]):
        for error_code, _message, _kind, _name, entries in response.resources:
            if for_code(error_code) is NoError:
                return next((int(entry[1]) for entry in entries if entry[0] == LIMIT), None)
    return None


def _reason(code: int, message: str | None = None) -> str:
    """Return what a broker said, which may be nothing but a code."""
    return (message or for_code(code).__name__).rstrip(".")


@contextlib.asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers, request_timeout_ms=5_000)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
