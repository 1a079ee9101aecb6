"""Demo data: people who learn, run and help each other, in two languages and several time zones.

What happens on a day depends on the seed, the person and the day, never on when the demo is loaded. So loading it again
adds nothing twice, and loading it some days later adds those days.
"""

# ruff: noqa: RUF001 - the Russian texts are meant to be Cyrillic

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from cli.client import Command, Laurels, Patience, Report, Result, ServerError, Stage, batched, silent
from shared.domain.days import zone
from shared.domain.names import achievement_name

__all__ = ["ACHIEVEMENTS", "DAYS", "USERS", "DemoSummary", "demo_commands", "load_demo"]

USERS: Final = 300
DAYS: Final = 60
ACCEPTED: Final = (200, 201)
CONFLICT: Final = 409
PREPARING: Final = Stage("Users and achievements", "commands")
TRANSLATING: Final = Stage("Translations", "texts")
AWARDING: Final = Stage("Awards", "awards")

FIRST_NAMES: Final = (
    *(
        "Ada",
        "Alan",
        "Amara",
        "Barbara",
        "Carlos",
        "Chloe",
        "Daniel",
        "Edith",
        "Elena",
        "Grace",
        "Hiro",
        "Imani",
        "Jack",
    ),
    *("Jonas", "Katherine", "Liam", "Maya", "Noah", "Olivia", "Priya", "Rosa", "Samuel", "Tim", "Yuki", "Zoe"),
)
LAST_NAMES: Final = (
    *("Allen", "Baker", "Clark", "Diaz", "Evans", "Fischer", "Garcia", "Hughes", "Ito", "Jensen", "Kim", "Lopez"),
    *("Murphy", "Nguyen", "Okafor", "Patel", "Quinn", "Rossi", "Silva", "Tanaka", "Weber", "Young"),
)
RUSSIAN_WOMEN: Final = ("Анна", "Дарья", "Екатерина", "Елена", "Ирина", "Мария", "Наталья", "Ольга", "Светлана", "Юлия")
RUSSIAN_MEN: Final = ("Алексей", "Андрей", "Дмитрий", "Иван", "Илья", "Максим", "Михаил", "Никита", "Павел", "Сергей")
RUSSIAN_LAST_NAMES: Final = (
    *("Иванов", "Смирнов", "Кузнецов", "Попов", "Соколов", "Лебедев", "Новиков", "Морозов", "Волков", "Зайцев"),
    *("Павлов", "Семёнов", "Голубев", "Виноградов", "Богданов", "Воробьёв"),
)
ENGLISH_ZONES: Final[tuple[str, ...]] = (
    *("UTC", "Europe/London", "Europe/Berlin", "America/New_York", "America/Los_Angeles", "America/Sao_Paulo"),
    *("Asia/Kolkata", "Asia/Tokyo", "Australia/Sydney", "Pacific/Auckland"),
)
RUSSIAN_ZONES: Final[tuple[str, ...]] = (
    "Europe/Moscow",
    "Europe/Samara",
    "Asia/Yekaterinburg",
    "Asia/Novosibirsk",
    "Asia/Vladivostok",
)


@dataclass(frozen=True, slots=True)
class Achievement:
    """One achievement in both languages; `weight` says how often it is earned compared with the others."""

    name: str
    description: str
    russian_name: str
    russian_description: str
    points: int
    weight: int


ACHIEVEMENTS: Final = (
    Achievement("Early bird", "Started before the others.", "Ранняя пташка", "Раньше всех за дело.", 5, 20),
    Achievement("Lesson completed", "Finished a lesson.", "Урок пройден", "Закончен один урок.", 10, 40),
    Achievement("Perfect test", "Not a single mistake.", "Без единой ошибки", "Тест сдан на отлично.", 25, 8),
    Achievement("Morning run", "Ran before breakfast.", "Утренняя пробежка", "Пробежка до завтрака.", 15, 8),
    Achievement("Five kilometres", "Ran 5 km in one go.", "Пять километров", "5 км за одну пробежку.", 20, 12),
    Achievement("Ten kilometres", "Ran 10 km in one go.", "Десять километров", "10 км за одну пробежку.", 40, 5),
    Achievement("Marathon", "Ran 42.195 km.", "Марафон", "42,195 км от старта до финиша.", 500, 1),
    Achievement("Helping hand", "Answered a question.", "Рука помощи", "Дан ответ на вопрос.", 10, 20),
    Achievement(
        "Good question", "Asked what many wanted to know.", "Хороший вопрос", "Многие хотели это узнать.", 10, 12
    ),
    Achievement("Mentor", "Saw a beginner through a course.", "Наставник", "Новичок доведён до конца курса.", 150, 2),
    Achievement("Bookworm", "Read a book to the end.", "Книжный червь", "Книга прочитана до конца.", 30, 6),
    Achievement("Night owl", "Still awake and learning.", "Полуночник", "Учёба за полночь.", 5, 10),
    Achievement("Team player", "Won together with others.", "Командный игрок", "Победа вместе с другими.", 35, 6),
    Achievement("Bug hunter", "Found what nobody had noticed.", "Охотник за ошибками", "Найдено незамеченное.", 50, 4),
    Achievement("Course completed", "Finished a whole course.", "Курс пройден", "Закончен целый курс.", 200, 2),
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the demo, and how diligent: a rhythm of `active` days in every `cycle`, or none but chance."""

    number: int
    name: str
    language: str
    zone: str
    cycle: int
    active: int
    chance: float

    def is_active(self, day: date, dice: random.Random) -> bool:
        """Say whether this is one of the person's days."""
        rhythm = self.cycle > 0 and (day.toordinal() + self.number) % self.cycle < self.active
        return rhythm or dice.random() < self.chance


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """How many users, achievements, translations and awards of the demo the server has now."""

    users: int
    achievements: int
    translations: int
    awards: int

    def __str__(self) -> str:
        """Return it as a sentence."""
        return (
            f"{self.users:,} users, {self.achievements:,} achievements in two languages "
            f"({self.translations:,} translations), {self.awards:,} awards."
        )


def demo_commands(today: date, seed: int = 1) -> Iterator[dict[str, object]]:
    """Yield users, achievements in English, and the awards of the 60 days before `today` began in UTC."""
    yield from _commands(datetime.combine(today, time(), UTC), seed)


def load_demo(
    base_url: str,
    now: datetime,
    *,
    seed: int = 1,
    progress: Report = silent,
    token: str = "",
    patience: Patience | None = None,
) -> DemoSummary:
    """Load the demo with all awards up to `now` (with an offset); raise ServerError.

    Loading it again is harmless.
    """
    commands = list(_commands(now.astimezone(UTC), seed))
    awards = [command for command in commands if command["type"] == "award-achievement"]
    others = commands[: len(commands) - len(awards)]
    with Laurels(base_url, token=token, patience=patience) as server:
        ids = _ids(_deliver(server, PREPARING, others, progress))
        # Texts go before the awards, so that these are shown in the users' own languages from the start.
        _translate(server, ids, progress)
        _deliver(server, AWARDING, awards, progress)
    return DemoSummary(USERS, len(ACHIEVEMENTS), len(ACHIEVEMENTS), len(awards))


def _commands(before: datetime, seed: int) -> Iterator[dict[str, object]]:
    """Yield the commands of the demo; the awards are those of the 60 days before that instant, oldest first."""
    people = _people(random.Random(f"{seed}/people"))  # noqa: S311 - a story, not a secret
    for person in people:
        yield {
            "type": "create-user",
            "username": person.name,
            "user_language": person.language,
            "user_timezone": person.zone,
            "idempotency_key": f"demo/{seed}/user/{person.number}",
        }
    for number, achievement in enumerate(ACHIEVEMENTS):
        yield {
            "type": "define-achievement",
            "achievement_name": achievement.name,
            "achievement_description": achievement.description,
            "achievement_language": "en",
            "achievement_point": achievement.points,
            "idempotency_key": f"demo/{seed}/achievement/{number}",
        }
    awards = [award for person in people for award in _awards(person, before, seed)]
    for instant, command in sorted(awards, key=lambda award: award[0]):
        yield command | {"awarded_at": instant.isoformat().replace("+00:00", "Z")}


def _people(dice: random.Random) -> list[Person]:
    english = [f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES]
    women = [f"{first} {last}а" for first in RUSSIAN_WOMEN for last in RUSSIAN_LAST_NAMES]
    men = [f"{first} {last}" for first in RUSSIAN_MEN for last in RUSSIAN_LAST_NAMES]
    russians = USERS // 3
    names = [(name, "en", ENGLISH_ZONES) for name in dice.sample(english, USERS - russians)]
    names += [(name, "ru", RUSSIAN_ZONES) for name in dice.sample(women + men, russians)]
    dice.shuffle(names)
    return [
        Person(number, name, language, dice.choice(zones), *_habit(dice))
        for number, (name, language, zones) in enumerate(names)
    ]


def _habit(dice: random.Random) -> tuple[int, int, float]:
    """Return a cycle, its active days and the chance of any other day: few never miss one, most come now and then."""
    kind = dice.random()
    if kind < 0.03:  # noqa: PLR2004 - a share of the people
        return 1, 1, 0.0
    if kind < 0.18:  # noqa: PLR2004 - a share of the people
        cycle = dice.randint(9, 30)
        return cycle, dice.randint(7, cycle - 1), 0.05
    if kind < 0.85:  # noqa: PLR2004 - a share of the people
        return 0, 0, dice.uniform(0.02, 0.25)
    return 0, 0, 0.0


def _awards(person: Person, before: datetime, seed: int) -> Iterator[tuple[datetime, dict[str, object]]]:
    """Yield a person's awards, each with its instant in UTC, at hours when people are awake where the person lives."""
    weights = [achievement.weight for achievement in ACHIEVEMENTS]
    for back in range(DAYS, -2, -1):
        day = before.date() - timedelta(days=back)
        # Dice of its own make a day the same whenever it is looked at.
        dice = random.Random(f"{seed}/{person.number}/{day}")  # noqa: S311 - a story, not a secret
        if not person.is_active(day, dice):
            continue
        for number, achievement in enumerate(dice.choices(ACHIEVEMENTS, weights, k=dice.choice((1, 1, 1, 2, 3)))):
            at = time(dice.randint(7, 22), dice.randint(0, 59), dice.randint(0, 59), tzinfo=zone(person.zone))
            instant = datetime.combine(day, at).astimezone(UTC)
            if before - timedelta(days=DAYS) <= instant < before:
                yield (
                    instant,
                    {
                        "type": "award-achievement",
                        "username": person.name,
                        "achievement_name": achievement.name,
                        "idempotency_key": f"demo/{seed}/award/{person.number}/{day}/{number}",
                    },
                )


def _deliver(
    server: Laurels, stage: Stage, commands: Sequence[Command], progress: Report
) -> list[tuple[Command, Result]]:
    """Post the commands in batches and return them with their results; raise ServerError if one is refused."""
    answered: list[tuple[Command, Result]] = []
    progress(stage, 0, len(commands))
    for batch in batched(commands):
        for command, result in zip(batch, server.post(batch), strict=True):
            _check(command, result)
            answered.append((command, result))
        progress(stage, len(answered), len(commands))
    return answered


def _check(command: Command, result: Result) -> None:
    # A user or an achievement may be there from an earlier demo, whose keys the server no longer remembers, and a name
    # may be taken by what was there before.
    known = result.status == CONFLICT and command["type"] != "award-achievement"
    if result.status not in ACCEPTED and not known:
        message = f"The server refused {command['type']} ({command['idempotency_key']}) with {result}."
        raise ServerError(message)


def _ids(answered: Sequence[tuple[Command, Result]]) -> dict[str, int]:
    """Return the ids of the achievements that were defined just now, by name."""
    return {
        str(command["achievement_name"]): int(result.body["achievement_id"])
        for command, result in answered
        if command["type"] == "define-achievement" and "achievement_id" in result.body
    }


def _translate(server: Laurels, ids: dict[str, int], progress: Report) -> None:
    """Give every achievement its Russian texts, looking up those that `ids` does not have."""
    if any(achievement.name not in ids for achievement in ACHIEVEMENTS):
        listed = server.pages("/users/achievements", language="en", limit=100)
        ids = {str(found["achievement_name"]): int(found["achievement_id"]) for found in listed} | ids
    by_key = {achievement_name(name).key: found for name, found in ids.items()}
    commands: list[Command] = []
    for achievement in ACHIEVEMENTS:
        found = by_key.get(achievement_name(achievement.name).key)
        if found is None:
            message = f"The achievement {achievement.name} is taken and yet not listed."
            raise ServerError(message)
        commands.append(
            {
                "type": "translate-achievement",
                "achievement_id": found,
                "achievement_language": "ru",
                "achievement_name": achievement.russian_name,
                "achievement_description": achievement.russian_description,
                "idempotency_key": f"demo/translation/{found}/ru",
            }
        )
    _deliver(server, TRANSLATING, commands, progress)
