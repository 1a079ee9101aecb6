"""What the OpenAPI document says of every command."""

from typing import Any

from pydantic import BaseModel

from shared.http.documentation import header, problem_responses

REPLAYED = {"Idempotency-Replayed": header("boolean", "Present when the response is that of an earlier request.")}
HEADERS = {
    "Event-Position": header("integer", "Log position of the last event that the command caused."),
    "Event-Applied": header("boolean", "Whether reads show it already."),
    **REPLAYED,
    "Preference-Applied": header("string", "The preference that was honoured."),
}
LOCATION = {"Location": header("string", "The path of what was made.")}

PARAMETERS = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "schema": {
            "type": "string",
            "pattern": '^(?!""$)("[ -~]{1,255}"|[!-~]([ -~]{0,253}[!-~])?)$',
            "examples": ["a-1"],
        },
        "description": "1 to 255 printable ASCII characters, in quotation marks or not. The same key and body are "
        "answered the same, and act once.",
    },
    {
        "name": "Prefer",
        "in": "header",
        "schema": {"type": "string", "examples": ["respond-async", "wait=5"]},
        "description": "respond-async does not wait for the read models; wait=SECONDS waits so long, at most 10.",
    },
]


def command_route(
    body: type[BaseModel] | None,
    answers: dict[int, type[BaseModel] | None],
    *problems: int,
    body_required: bool = True,
    located: bool = False,
) -> dict[str, Any]:
    """Return the documentation of a command: its body, its responses (`located` if with a Location), its problems."""
    extra: dict[str, Any] = {"parameters": PARAMETERS}
    if body is not None:
        extra["requestBody"] = {
            "required": body_required,
            "content": {"application/json": {"schema": body.model_json_schema()}},
        }
    responses: dict[int | str, dict[str, Any]] = {
        status: {"headers": HEADERS | (LOCATION if located else {})}
        | ({"model": model} if model else {"description": "Done."})
        for status, model in answers.items()
    }
    return {
        "status_code": next(iter(answers)),
        "response_model": None,
        "responses": responses | problem_responses(400, 401, 403, 406, 422, 429, 503, *problems, decided=REPLAYED),
        "openapi_extra": extra,
    }
