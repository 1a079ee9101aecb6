"""A group of commands: decided one after another on the same state, each seeing what those before it decided."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from command_api import answers
from command_api.answers import Answer
from command_api.decisions import Command
from command_api.decisions.state import State
from command_api.idempotency import Keyed, Memory, fresh_event_ids
from shared.domain.errors import DomainError, IdempotencyKeyReused
from shared.events import codec
from shared.events.types import Event
from shared.http import problems

logger = logging.getLogger(__name__)

NOT_REMEMBERED: Final = frozenset({400, 500})
"""What was not valid or failed here is not remembered: once that is mended, the key is used again."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A command, with its Idempotency-Key if it has one."""

    command: Command
    keyed: Keyed | None = None


class Group:
    """Decides the commands of one group, and collects what is to be written: events with their data, and answers."""

    def __init__(self, state: State, memories: dict[str, Memory]) -> None:
        self.state = state
        self.answers: list[Answer] = []
        self._memories = memories
        self.events: list[Event] = []
        self.data: list[str] = []
        self._event_ids: list[UUID | None] = []
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.to_remember: list[tuple[Keyed, Answer]] = []

    def decide(self, submissions: Sequence[Submission]) -> None:
        """Decide commands, each on what those before it left; `answers` has one for each, in order."""
        self.answers += [self._answer(submission) for submission in submissions]

    def _answer(self, submission: Submission) -> Answer:
        keyed = submission.keyed
        if keyed is None:
            return self._decide(submission.command, None)
        memory = self._memories.get(keyed.key)
        if memory is None:
            answer = self._decide(submission.command, keyed)
            if answer.status not in NOT_REMEMBERED:
                self._memories[keyed.key] = Memory(keyed.fingerprint, replace(answer, replayed=True))
                self.to_remember.append((keyed, answer))
            return answer
        if memory.fingerprint != keyed.fingerprint:
            reused = IdempotencyKeyReused("This Idempotency-Key came with another command before.")
            return answers.refusal(problems.from_domain(reused))
        return memory.answer

    def event_ids(self) -> list[UUID]:
        """Return the ids of the events: of a command with a key the one made from it, of others a fresh one."""
        fresh = iter(fresh_event_ids(self._event_ids.count(None)))
        return [event_id or next(fresh) for event_id in self._event_ids]

    def _decide(self, command: Command, keyed: Keyed | None) -> Answer:
        try:
            return self._decided(command, keyed)
        except Exception as error:  # noqa: BLE001 - whatever it is, it fails this command alone
            self.outcomes[command.type, "internal-error"] += 1
            return fault(command, error)

    def _decided(self, command: Command, keyed: Keyed | None) -> Answer:
        try:
            event = command.decide(self.state)
        except DomainError as error:
            self.outcomes[command.type, error.code] += 1
            return answers.refusal(problems.from_domain(error))
        # Recording comes last of what may raise, so that the state never has an event that is not appended.
        answer = answers.success(event, self.state)
        data = codec.encode(event)
        self.state.record(event)
        self.events.append(event)
        self.data.append(data)
        self._event_ids.append(keyed.event_id if keyed else None)
        self.outcomes[command.type, "accepted"] += 1
        return answer


def fault(command: Command, error: Exception) -> Answer:
    """Log what a command raised, and return its answer, which tells nothing but the id of the log's record."""
    problem = problems.internal_error()
    logger.error("%s failed, answered as %s", command.type, problem.instance, exc_info=error)
    return answers.refusal(problem)
