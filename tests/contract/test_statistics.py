"""Statistics on a database of their own: leaders, ties, differences, revocations."""

from __future__ import annotations

from dataclasses import dataclass, field

from .helpers import (
    Body,
    FreshLaurels,
    Laurels,
    a_standing_scene,
    assert_problem,
    assert_status,
    award,
    award_at,
    create_user,
    define_achievement,
    get,
    next_url,
    revoke,
    send,
    translate,
    user_path,
    walk,
)

STATS = "/users/achievements-stats"
LEADERS = ("max-count", "max-points", "max-min-difference")


@dataclass(slots=True)
class Story:
    """One instance, its users and achievements by short names."""

    laurels: Laurels
    users: dict[str, Body] = field(default_factory=dict)
    achievements: dict[int, int] = field(default_factory=dict)
    made: dict[tuple[str, int], list[int]] = field(default_factory=dict)

    def register(self, *names: str) -> None:
        """Register users by these names."""
        self.users |= {name: create_user(self.laurels, name) for name in names}

    def give(self, name: str, *points: int) -> None:
        """Award achievements worth so many points."""
        for worth in points:
            made = award(self.laurels, self.users[name]["username"], self.achievements[worth])
            self.made.setdefault((name, worth), []).append(made["award_id"])

    def take(self, name: str, points: int) -> None:
        """Revoke the latest award worth so many points."""
        award_id = self.made[name, points].pop()
        revoke(self.laurels, self.users[name]["username"], award_id)

    def read(self, statistic: str, *, everybody: bool) -> Body:
        """Read a statistic that has data."""
        params = {"include_unawarded": "true"} if everybody else None
        response = get(self.laurels, f"{STATS}/{statistic}/", params=params)
        assert_status(200, response)
        body: Body = response.json()
        return body

    def person(self, name: str, points: int) -> Body:
        """Write a user as the statistics do."""
        user = self.users[name]
        return {
            "user_id": user["user_id"],
            "username": user["username"],
            "total_points": points,
        }

    def expect_count(self, name: str, count: int, tied: int, *, everybody: bool = False) -> None:
        """Hold max-count against its leader."""
        user = self.users[name]
        expected = {
            "user_id": user["user_id"],
            "username": user["username"],
            "total_achievements": count,
            "tied_users": tied,
        }
        assert expected == self.read("max-count", everybody=everybody)

    def expect_points(self, name: str, points: int, tied: int, *, everybody: bool = False) -> None:
        """Hold max-points against its leader."""
        expected = self.person(name, points) | {"tied_users": tied}
        assert expected == self.read("max-points", everybody=everybody)

    def expect_difference(
        self,
        most: tuple[str, int],
        least: tuple[str, int],
        higher: tuple[str, int] | None,
        lower: tuple[str, int] | None,
        *,
        everybody: bool = False,
    ) -> None:
        """Hold max-min-difference against its pairs."""
        nearest = None
        if higher is not None and lower is not None:
            nearest = {
                "higher_points_user": self.person(*higher),
                "lower_points_user": self.person(*lower),
            }
        expected = {
            "max_difference": most[1] - least[1],
            "users_with_max_difference": {
                "max_points_user": self.person(*most),
                "min_points_user": self.person(*least),
            },
            "min_difference": higher[1] - lower[1] if higher and lower else None,
            "users_with_min_difference": nearest,
        }
        assert expected == self.read("max-min-difference", everybody=everybody)


def test_leaders_follow_the_awards(fresh_laurels: FreshLaurels) -> None:
    """From an empty database on, each statistic is that of the awards that stand."""
    story = Story(fresh_laurels())

    _check_nothing_is_404(story.laurels)
    _check_users_without_awards_count_if_wanted(story)
    _check_one_user_is_alone(story)
    _check_ties_go_to_the_first(story)
    _check_zero_points_do_not_move_a_total(story)
    _check_differences(story)
    _check_equal_differences_show_the_higher_pair(story)
    _check_revocation_leaves_no_trace(story)
    _check_value_reached_again_is_reached_later(story)
    _check_renamed_user_is_shown_by_the_new_name(story)
    _check_everything_revoked_is_404(story)
    _check_pages_keep_their_parameters(story.laurels)


def _check_nothing_is_404(laurels: Laurels) -> None:
    """Without users there is no data, but there are empty lists."""
    for statistic in LEADERS:
        for query in ("", "?include_unawarded=true", "?include_unawarded=false"):
            response = get(laurels, f"{STATS}/{statistic}/{query}")
            assert_problem(response, 404, "no-awards")
    for path in ("/users/", "/users/achievements", f"{STATS}/streak/"):
        response = get(laurels, path)
        assert_status(200, response)
        assert [] == response.json()
        assert next_url(response) is None


def _check_users_without_awards_count_if_wanted(story: Story) -> None:
    """Count registered users without awards only where include_unawarded says so."""
    story.register("ada", "bob", "cyd")
    for statistic in LEADERS:
        assert_problem(get(story.laurels, f"{STATS}/{statistic}/"), 404, "no-awards")

    story.expect_count("ada", 0, 3, everybody=True)
    story.expect_points("ada", 0, 3, everybody=True)
    story.expect_difference(("ada", 0), ("ada", 0), ("ada", 0), ("bob", 0), everybody=True)


def _check_one_user_is_alone(story: Story) -> None:
    """One user is both ends of the largest difference, and of no smallest."""
    for points in (0, 5, 10, 20):
        defined = define_achievement(story.laurels, achievement_point=points)
        story.achievements[points] = defined["achievement_id"]

    story.give("bob", 10)

    story.expect_count("bob", 1, 1)
    story.expect_points("bob", 10, 1)
    story.expect_difference(("bob", 10), ("bob", 10), None, None)
    story.expect_difference(("bob", 10), ("ada", 0), ("ada", 0), ("cyd", 0), everybody=True)


def _check_ties_go_to_the_first(story: Story) -> None:
    """Whoever reached the value first is shown, whatever the ids; all are counted."""
    story.give("ada", 10)

    story.expect_count("bob", 1, 2)
    story.expect_points("bob", 10, 2)
    story.expect_difference(("bob", 10), ("bob", 10), ("bob", 10), ("ada", 10))


def _check_zero_points_do_not_move_a_total(story: Story) -> None:
    """Change the count alone, and when it was reached, by an award without points."""
    story.give("ada", 0)
    story.expect_count("ada", 2, 1)
    story.give("bob", 0)

    story.expect_count("ada", 2, 2)
    story.expect_points("bob", 10, 2)


def _check_differences(story: Story) -> None:
    """Find the largest difference at the ends, the smallest between neighbours."""
    story.give("cyd", 5)
    story.expect_difference(("bob", 10), ("cyd", 5), ("bob", 10), ("ada", 10))
    story.give("ada", 20)

    story.expect_count("ada", 3, 1)
    story.expect_points("ada", 30, 1)
    story.expect_difference(("ada", 30), ("cyd", 5), ("bob", 10), ("cyd", 5))


def _check_equal_differences_show_the_higher_pair(story: Story) -> None:
    """Among equal smallest differences the pair with the most points is shown."""
    story.register("dan", "eve")
    story.give("dan", 20, 10, 5)

    story.expect_difference(("dan", 35), ("cyd", 5), ("dan", 35), ("ada", 30))
    story.expect_difference(("dan", 35), ("eve", 0), ("dan", 35), ("ada", 30), everybody=True)


def _check_revocation_leaves_no_trace(story: Story) -> None:
    """Every statistic is what it would be had the award never been made."""
    story.take("ada", 20)
    for points in (5, 10, 20):
        story.take("dan", points)

    story.expect_count("ada", 2, 2)
    story.expect_points("bob", 10, 2)
    story.expect_difference(("bob", 10), ("cyd", 5), ("bob", 10), ("ada", 10))
    story.expect_difference(("bob", 10), ("dan", 0), ("bob", 10), ("ada", 10), everybody=True)


def _check_value_reached_again_is_reached_later(story: Story) -> None:
    """Date a value that was lost and won back to when it was won back."""
    story.take("bob", 10)
    story.expect_count("ada", 2, 1)
    story.expect_points("ada", 10, 1)
    story.give("bob", 10)

    story.expect_points("ada", 10, 2)
    story.expect_count("ada", 2, 2)
    story.expect_difference(("ada", 10), ("cyd", 5), ("ada", 10), ("bob", 10))


def _check_renamed_user_is_shown_by_the_new_name(story: Story) -> None:
    """Statistics show users by the names that they have now."""
    changed = send(story.laurels, "PATCH", user_path("ada"), {"username": "Ada Lovelace"})
    assert_status(200, changed)
    story.users["ada"] = changed.json()

    story.expect_count("ada", 2, 2)
    story.expect_points("ada", 10, 2)
    story.expect_difference(("ada", 10), ("cyd", 5), ("ada", 10), ("bob", 10))


def _check_everything_revoked_is_404(story: Story) -> None:
    """When no award stands, there is no data again."""
    for (name, points), ids in story.made.items():
        for _ in range(len(ids)):
            story.take(name, points)

    for statistic in LEADERS:
        assert_problem(get(story.laurels, f"{STATS}/{statistic}/"), 404, "no-awards")
    story.expect_count("ada", 0, 5, everybody=True)


def _check_pages_keep_their_parameters(laurels: Laurels) -> None:
    """Keep the language, and the rules, of the first page on the next."""
    for item in walk(laurels, "/users/achievements"):
        name = f"ru {item['achievement_name']}"
        assert_status(201, translate(laurels, item["achievement_id"], "ru", name))
    russian: dict[str, str | int] = {"language": "ru", "limit": 1}
    listed = walk(laurels, "/users/achievements", params=russian)
    assert ["ru"] * 4 == [item["achievement_language"] for item in listed]

    achievement_id = listed[0]["achievement_id"]
    for days in (3, 2, 4, 3):
        username = create_user(laurels)["username"]
        times = (f"2024-05-0{day + 1}T12:00:00Z" for day in range(days))
        award_at(laurels, username, achievement_id, *times)
    streaks = walk(laurels, f"{STATS}/streak/", params={"days": 3, "limit": 1})
    assert [4, 3, 3] == [streak["streak_days"] for streak in streaks]
    assert streaks[1]["user_id"] < streaks[2]["user_id"]


def test_statistics_have_leaders_once_there_are_awards(laurels: Laurels) -> None:
    """Where somebody holds an award, every statistic has somebody to show."""
    a_standing_scene(laurels)

    for everybody in (False, True):
        story = Story(laurels)
        assert story.read("max-count", everybody=everybody)["total_achievements"] >= 1
        assert story.read("max-points", everybody=everybody)["tied_users"] >= 1
        assert story.read("max-min-difference", everybody=everybody)["max_difference"] >= 0
