"""A group of commands, decided in memory: who sees what, what fails alone, and what a key is answered with."""

from datetime import UTC, datetime
from typing import Any

import orjson

from command_api.decisions.state import Catalogue, State
from command_api.group import Group, Submission
from command_api.idempotency import Keyed, Memory, keyed
from command_api.schemas import bulk_command

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
FEAT: dict[str, Any] = {
    "type": "define-achievement",
    "achievement_name": "Feat",
    "achievement_description": "",
    "achievement_language": "en",
}
AWARD: dict[str, Any] = {"type": "award-achievement", "username": "ann", "achievement_id": 1}


def group(memories: dict[str, Memory] | None = None) -> Group:
    """Return a group over an empty log."""
    state = State(now=NOW, position=0, last_user_id=0, last_achievement_id=0, catalogue=Catalogue())
    return Group(state, memories or {})


def submission(key: str | None = None, **body: Any) -> Submission:  # noqa: ANN401 - fields of any command
    command = bulk_command(body, {"languages": frozenset({"en"})}).command()
    return Submission(command, keyed(key, command) if key else None)


def user(name: str, key: str | None = None) -> Submission:
    return submission(key, type="create-user", username=name, user_language="en")


def decided(group: Group, *submissions: Submission) -> list[int]:
    """Decide commands; return the statuses of all answers so far."""
    group.decide(submissions)
    return [answer.status for answer in group.answers]


def key_of(submission: Submission) -> Keyed:
    assert submission.keyed is not None
    return submission.keyed


def test_each_command_sees_those_before_it() -> None:
    """An award may follow its user and its achievement in one group, at the positions of their order."""
    whole = group()
    feat = submission(**FEAT)
    assert [404, 201, 201, 201] == decided(whole, submission(**AWARD), user("ann"), feat, submission(**AWARD))
    assert ["user-created", "achievement-defined", "achievement-awarded"] == [event.type for event in whole.events]
    assert [1, 2, 3] == [answer.position for answer in whole.answers[1:]]
    assert 3 == whole.state.position == len(whole.data) == len(whole.event_ids())


def test_a_refused_command_refuses_itself_alone() -> None:
    """A name that is taken leaves no event, and is counted under its reason."""
    whole = group()
    assert [201, 409, 201] == decided(whole, user("ann"), user("ANN"), user("bea"))
    assert {("create-user", "accepted"): 2, ("create-user", "username-taken"): 1} == whole.outcomes


def test_a_decision_that_raises_fails_alone() -> None:
    """What is wrong with one user is a 500 without a cause; nothing of it is in the state, and others go on."""
    whole = group()
    broken = submission(type="create-user", username="ann", user_language="en", user_timezone="UTC")
    decided(whole, broken, submission(**FEAT))
    object.__setattr__(whole.state.user_by_id(1), "user_timezone", "Nowhere/Land")
    assert [201, 201, 500, 201] == decided(whole, submission(**AWARD), user("bea"))
    assert 3 == whole.state.position == len(whole.events)
    assert "Nowhere" not in whole.answers[2].body.decode()
    assert 1 == whole.outcomes["award-achievement", "internal-error"]


def test_a_key_is_decided_once() -> None:
    """The same command with the same key gets the same answer again; another command with it is a 422."""
    whole = group()
    first = user("ann", "key")
    assert [201, 201, 422] == decided(whole, first, user("ann", "key"), user("bea", "key"))
    again = whole.answers[1]
    assert again.replayed
    assert (whole.answers[0].body, 1) == (again.body, again.position)
    assert [(key_of(first), whole.answers[0])] == whole.to_remember
    assert [key_of(first).event_id] == whole.event_ids()


def test_a_refusal_is_remembered_and_a_fault_is_not() -> None:
    """A key whose command was refused stays bound to that; one that ran into a fault can be used again."""
    whole = group()
    decided(whole, user("ann"), submission(**FEAT), user("ann", "refused"))
    object.__setattr__(whole.state.user_by_id(1), "user_timezone", "Nowhere/Land")
    assert 500 == decided(whole, submission("fault", **AWARD))[-1]
    assert ["refused"] == [keyed.key for keyed, _ in whole.to_remember]


def test_what_is_remembered_is_answered_without_deciding() -> None:
    """A key that came before is answered from memory, whatever the state says now."""
    before = group()
    decided(before, user("ann", "key"))
    again = user("ann", "key")
    whole = group({"key": Memory(key_of(again).fingerprint, before.answers[0])})
    assert [201] == decided(whole, again)
    assert {"username": "ann"}.items() <= orjson.loads(whole.answers[0].body).items()
    assert not whole.events
    assert not whole.to_remember


def test_events_without_a_key_get_fresh_ids() -> None:
    """Ids made from keys and fresh ones, of version 7, stand at the positions of their events."""
    whole = group()
    with_key = user("bea", "key")
    decided(whole, user("ann"), with_key, user("cyd"))
    ids = whole.event_ids()
    assert [7, 5, 7] == [event_id.version for event_id in ids]
    assert key_of(with_key).event_id == ids[1]
    assert 3 == len(set(ids))
