"""The commands of a bulk request: checked one by one, keyed so that all can be sent again, submitted in chunks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from command_api import answers
from command_api.answers import Answer
from command_api.group import Submission
from command_api.group_commit import DatabaseUnavailable
from command_api.idempotency import claim, keyed
from command_api.routes.answering import Service, not_taken
from command_api.schemas import bulk_command
from command_api.schemas.fields import BulkCommand, Context
from shared.http import strict_json
from shared.http.problems import Problem
from shared.http.slices import in_slices

CHUNK: Final = 500
"""Commands that a bulk request puts into one group commit; single commands go between chunks."""
KEY_SEPARATOR: Final = "\x1f"
"""Cannot be part of a client's key, so that the keys made for the lines of a request collide with none."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Gives each command of a request its Idempotency-Key: its own, or one made from the request's."""

    request_key: str | None

    def submission(self, index: int, given: BulkCommand) -> Submission:
        """Return the command at this index (0-based) as it is submitted."""
        command = given.command()
        key = given.idempotency_key
        if key is None and self.request_key is not None:
            key = f"{self.request_key}{KEY_SEPARATOR}{index}"
        return Submission(command, keyed(key, command) if key is not None else None)


async def checked(items: Iterable[Submission | Answer]) -> list[Submission | Answer]:
    """Return the items, checked without holding up the event loop."""
    return [item async for slice_ in in_slices(items) for item in slice_]


def checked_item(index: int, value: object, keys: Keys, context: Context, *, check: bool) -> Submission | Answer:
    """Return the command at this index as it is submitted, or the answer to what is none."""
    try:
        if check:
            strict_json.refuse_unstorable(value)
        return keys.submission(index, bulk_command(value, context))
    except Problem as problem:
        return answers.refusal(problem)


class Commands:
    """The commands of one request, chunk after chunk.

    Once a chunk could not be taken, none that follows is: they may build on it, and a refusal would be remembered.
    """

    def __init__(self, service: Service, client: str) -> None:
        self._service, self._client = service, client
        self._failed: Answer | None = None

    async def answer(self, items: Sequence[Submission | Answer]) -> list[Answer]:
        """Return the answers in order; what was not valid is answered already."""
        submissions = [item for item in items if isinstance(item, Submission)]
        decided: list[Answer] = []
        if submissions and self._failed is None:
            try:
                decided = await self._service.appender.submit_many(submissions, client=self._client)
            except DatabaseUnavailable as error:
                self._failed = answers.refusal(not_taken(error))
        if self._failed is not None:
            decided = [self._failed] * len(submissions)
        remaining = iter(decided)
        return [item if isinstance(item, Answer) else next(remaining) for item in items]


async def bind(service: Service, key: str | None, fingerprint: bytes) -> bool:
    """Bind the request's key to its body; return whether it was before. Raises IdempotencyKeyReused."""
    if key is None:
        return False
    async with service.pool.acquire() as connection:
        return await claim(connection, key, fingerprint)


def last_position(given: Sequence[Answer]) -> int:
    """Return the position of the last event that the commands caused, 0 for none."""
    return max((answer.position or 0 for answer in given), default=0)


def result(answer: Answer) -> bytes:
    """Return the JSON of one result."""
    if not answer.body:
        return b'{"status":%d}' % answer.status
    member = b"problem" if answer.status >= 400 else b"body"  # noqa: PLR2004 - where HTTP's errors begin
    return b'{"status":%d,"%s":%s}' % (answer.status, member, answer.body)
