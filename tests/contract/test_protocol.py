"""Methods, media types, sizes and the shape of errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .helpers import (
    API,
    READ_PATHS,
    Laurels,
    a_standing_scene,
    assert_problem,
    assert_status,
    create_user,
    get,
    given_a_scene,
    instant,
    post_raw,
    quoted,
    send,
    user_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MEBIBYTE = 2**20


@pytest.mark.parametrize("template", READ_PATHS)
def test_trailing_slash_is_optional_for_reads(laurels: Laurels, template: str) -> None:
    """A path answers alike with and without its slash, never with a redirect."""
    path = a_standing_scene(laurels).path(template).rstrip("/")

    bare, slashed = get(laurels, path), get(laurels, path + "/")

    assert_status(200, bare)
    assert_status(200, slashed)


@pytest.mark.parametrize("slash", ["", "/"])
def test_trailing_slash_is_optional_for_commands(laurels: Laurels, slash: str) -> None:
    """Every command is found with and without its slash."""
    name, feat = laurels.name(), laurels.name("feat")
    texts = {"achievement_name": feat, "achievement_description": ""}

    user = send(laurels, "POST", f"/users{slash}", {"username": name, "user_language": "en"})
    defined = send(
        laurels,
        "POST",
        f"/users/achievements{slash}",
        texts | {"achievement_language": "en"},
    )
    achievement_id = defined.json()["achievement_id"]
    translated = send(
        laurels,
        "PUT",
        f"/users/achievements/{achievement_id}/translations/ru{slash}",
        texts,
    )
    changed = send(laurels, "PATCH", f"/users/{name}{slash}", {"user_language": "ru"})
    award = {"achievement_id": achievement_id}
    awarded = send(laurels, "POST", f"/users/{name}/achievements{slash}", award)
    award_id = awarded.json()["award_id"]
    revoked = send(laurels, "DELETE", f"/users/{name}/achievements/{award_id}{slash}")
    commands = send(laurels, "POST", f"/commands{slash}", [])

    responses = [user, defined, translated, changed, awarded, revoked, commands]
    assert [201, 201, 201, 200, 201, 204, 200] == [r.status_code for r in responses]


@pytest.mark.parametrize("template", READ_PATHS)
def test_head_works_wherever_get_does(laurels: Laurels, template: str) -> None:
    """HEAD has the status and the headers of GET, and no body."""
    path = a_standing_scene(laurels).path(template)

    response = laurels.http.head(API + path)

    assert_status(200, response)
    assert response.content == b""
    assert response.headers["Content-Type"].startswith("application/json")
    assert "Read-Position" in response.headers


def test_head_of_something_missing_is_404(laurels: Laurels) -> None:
    """HEAD tells what GET would tell."""
    response = laurels.http.head(API + user_path(laurels.name("nobody")))

    assert_status(404, response)
    assert response.content == b""


@pytest.mark.parametrize("template", READ_PATHS)
def test_answers_are_json_in_utf8(laurels: Laurels, template: str) -> None:
    """A success is application/json and reads as UTF-8."""
    response = get(laurels, a_standing_scene(laurels).path(template))

    assert response.headers["Content-Type"].startswith("application/json")
    assert response.content.decode("utf-8")


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/api/v1",
        "/api/v1/nope",
        "/api/v2/users/",
        "/api/v1/users/achievements-stats/",
        "/api/v1/users/achievements-stats/nope/",
        "/api/v1/users/ada/nope",
        "/users/",
    ],
)
def test_unknown_path_is_a_problem(laurels: Laurels, path: str) -> None:
    """A path that does not exist is 404 in the common error format."""
    assert_problem(laurels.http.get(path), 404)


@pytest.mark.parametrize(
    ("method", "template", "allowed"),
    [
        ("DELETE", "/users/", {"GET", "POST"}),
        ("PUT", "/users/{username}/", {"GET", "PATCH"}),
        ("POST", "/users/{username}/", {"GET", "PATCH"}),
        ("DELETE", "/users/{username}", {"GET", "PATCH"}),
        ("DELETE", "/users/achievements", {"GET", "POST"}),
        ("PUT", "/users/achievements/{achievement_id}", {"GET"}),
        ("POST", "/users/achievements/{achievement_id}/translations/ru", {"PUT"}),
        ("PUT", "/users/{username}/achievements/", {"GET", "POST"}),
        ("GET", "/users/{username}/achievements/{award_id}", {"DELETE"}),
        ("POST", "/users/{username}/achievements/{award_id}", {"DELETE"}),
        ("GET", "/commands", {"POST"}),
        ("POST", "/users/achievements-stats/max-count/", {"GET"}),
        ("PUT", "/users/achievements-stats/max-points/", {"GET"}),
        ("DELETE", "/users/achievements-stats/max-min-difference/", {"GET"}),
        ("PATCH", "/users/achievements-stats/streak/", {"GET"}),
    ],
)
def test_wrong_method_is_405(laurels: Laurels, method: str, template: str, allowed: set[str]) -> None:
    """A method that a path lacks is 405; Allow names reads and writes alike."""
    path = a_standing_scene(laurels).path(template)

    response = laurels.http.request(method, API + path)

    assert_problem(response, 405)
    allow = {allowed.strip() for allowed in response.headers["Allow"].split(",")}
    assert allowed <= allow, f"Allow is {allow}"
    assert method not in allow, f"Allow is {allow}"


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "application/json;q=0"])
@pytest.mark.parametrize("template", READ_PATHS)
def test_unacceptable_media_type_is_406(laurels: Laurels, template: str, accept: str) -> None:
    """A read that cannot answer in a wanted type says so."""
    path = a_standing_scene(laurels).path(template)

    assert_problem(get(laurels, path, headers={"Accept": accept}), 406)


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "application/*",
        "*/*",
        "text/html, */*;q=0.1",
        "text/html;q=0.9,application/json;q=0.1",
        "Application/JSON",
    ],
)
def test_any_accept_that_covers_json_is_served(laurels: Laurels, accept: str) -> None:
    """Ranges and weights are read as HTTP defines them."""
    user = create_user(laurels)

    response = get(laurels, user_path(user["username"]), headers={"Accept": accept})

    assert_status(200, response)


def test_unacceptable_command_does_nothing(laurels: Laurels) -> None:
    """A command refused for its Accept leaves no trace."""
    name = laurels.name()

    refused = send(
        laurels,
        "POST",
        "/users/",
        {"username": name, "user_language": "en"},
        headers={"Accept": "text/html"},
    )

    assert_problem(refused, 406)
    assert_problem(get(laurels, user_path(name)), 404)


@pytest.mark.parametrize(
    ("method", "template"),
    [
        ("POST", "/users/"),
        ("PATCH", "/users/{username}/"),
        ("POST", "/users/achievements"),
        ("PUT", "/users/achievements/{achievement_id}/translations/ru"),
        ("POST", "/users/{username}/achievements/"),
        ("DELETE", "/users/{username}/achievements/{award_id}"),
    ],
)
def test_body_over_one_mebibyte_is_413(laurels: Laurels, method: str, template: str) -> None:
    """A single command is at most 1 MiB."""
    path = a_standing_scene(laurels).path(template)

    response = post_raw(laurels, path, b"{}" + b" " * (MEBIBYTE - 1), method=method)

    assert_problem(response, 413)


def test_body_of_one_mebibyte_is_taken(laurels: Laurels) -> None:
    """The limit itself is allowed."""
    name = laurels.name()
    body = b'{"username": "%s", "user_language": "en"}' % name.encode()

    response = post_raw(laurels, "/users/", body.ljust(MEBIBYTE))

    assert_status(201, response)


def test_body_without_a_length_is_measured_too(laurels: Laurels) -> None:
    """A chunked body meets the same limit."""

    def chunks() -> Iterator[bytes]:
        yield b"{}"
        for _ in range(17):
            yield b" " * (MEBIBYTE // 16)

    assert_problem(post_raw(laurels, "/users/", chunks()), 413)


def test_batch_may_be_larger_than_a_single_command(laurels: Laurels) -> None:
    """A batch over 1 MiB and under 16 MiB is read."""
    name = laurels.name()
    command = b'[{"type": "create-user", "username": "%s", "user_language": "en"}]'

    response = post_raw(laurels, "/commands", (command % name.encode()).ljust(2 * MEBIBYTE))

    assert_status(200, response)
    assert [201] == [result["status"] for result in response.json()]


def test_batch_over_sixteen_mebibytes_is_413(laurels: Laurels) -> None:
    """A batch is at most 16 MiB."""
    response = post_raw(laurels, "/commands", b"[]".ljust(16 * MEBIBYTE + 1))

    assert_problem(response, 413)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "nonsense",
        None,
    ],
)
@pytest.mark.parametrize(
    ("method", "template"),
    [
        ("POST", "/users/"),
        ("PATCH", "/users/{username}/"),
        ("POST", "/users/achievements"),
        ("PUT", "/users/achievements/{achievement_id}/translations/ru"),
        ("POST", "/users/{username}/achievements/"),
        ("DELETE", "/users/{username}/achievements/{award_id}"),
        ("POST", "/commands"),
    ],
)
def test_body_in_another_media_type_is_415(
    laurels: Laurels, method: str, template: str, content_type: str | None
) -> None:
    """A body that does not say that it is JSON is not read."""
    path = a_standing_scene(laurels).path(template)

    response = post_raw(laurels, path, b"{}", content_type, method)

    assert_problem(response, 415)


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;"],
)
def test_media_type_is_read_as_http_defines_it(laurels: Laurels, content_type: str) -> None:
    """Parameters and letter case of the media type do not matter."""
    name = laurels.name()
    body = b'{"username": "%s", "user_language": "en"}' % name.encode()

    assert_status(201, post_raw(laurels, "/users/", body, content_type))


def test_lines_are_for_batches_only(laurels: Laurels) -> None:
    """A single command is not NDJSON."""
    body = b'{"username": "never-created", "user_language": "en"}\n'

    assert_problem(post_raw(laurels, "/users/", body, "application/x-ndjson"), 415)


@pytest.mark.parametrize(
    "template",
    ["/users/{username}/", "/users/{username}/achievements/", "/users/achievements"],
)
def test_timestamps_are_rfc_3339_in_utc(laurels: Laurels, template: str) -> None:
    """Every timestamp ends with Z."""
    scene = given_a_scene(laurels)

    found = get(laurels, scene.path(template)).json()

    for item in found if isinstance(found, list) else [found]:
        stamps = [value for field, value in item.items() if field.endswith("_at")]
        assert stamps, f"no timestamps in {item}"
        for stamp in stamps:
            instant(stamp)


@pytest.mark.parametrize(
    ("template", "slug"),
    [
        ("/users/{nobody}/", "unknown-user"),
        ("/users/{nobody}/achievements/", "unknown-user"),
        ("/users/achievements/9007199254740991", "unknown-achievement"),
    ],
)
def test_missing_things_are_404_by_name(laurels: Laurels, template: str, slug: str) -> None:
    """The type of the problem says what was not found."""
    path = template.format(nobody=quoted(laurels.name("nobody")))

    assert_problem(get(laurels, path), 404, slug)
