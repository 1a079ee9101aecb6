"""Commands in bulk: an array, or a stream of lines that are read and answered in bounded memory."""

from typing import Any

from fastapi import Request, Response

from command_api.routes.answering import Service, key_of
from command_api.routes.bulk.array import ARRAY_LIMIT, answer_array
from command_api.routes.bulk.stream import answer_stream
from command_api.routes.documentation import HEADERS, PARAMETERS
from command_api.schemas import BULK_COMMANDS
from shared.http.bodies import check_media_type
from shared.http.documentation import problem_responses
from shared.http.negotiation import JSON, NDJSON, accepts
from shared.http.parameters import query_parameters
from shared.http.problems import Problem
from shared.http.routing import Routes

routes = Routes[Service](tag="commands")


COMMAND_SCHEMA = {
    "oneOf": [model.model_json_schema() for model in BULK_COMMANDS.values()],
    "discriminator": {"propertyName": "type"},
}
RESULT_SCHEMA = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"type": "integer"}, "body": {"type": "object"}, "problem": {"type": "object"}},
}
DOCUMENTATION: dict[str, Any] = {
    "response_model": None,
    "responses": problem_responses(400, 401, 403, 406, 413, 415, 422, 429, 503)
    | {
        200: {
            "description": "One result for every command, in order.",
            "headers": HEADERS,
            "content": {JSON: {"schema": {"type": "array", "items": RESULT_SCHEMA}}, NDJSON: {"schema": RESULT_SCHEMA}},
        }
    },
    "openapi_extra": {
        "parameters": PARAMETERS,
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": {"type": "array", "maxItems": ARRAY_LIMIT, "items": COMMAND_SCHEMA}},
                NDJSON: {"schema": COMMAND_SCHEMA},
            },
        },
    },
}


@routes.post("/commands", **DOCUMENTATION)
async def post_commands(service: Service, request: Request) -> Response:
    """Decide any mix of commands; one refused command refuses nothing else.

    With an Idempotency-Key, lines of `application/x-ndjson` have keys of their own, made from it and their number. What
    was sent before is answered again; another command in its place is a 422 in its line; new lines are decided.
    """
    media_type = check_media_type(request, (JSON, NDJSON))
    if not accepts(request.headers.get("accept", "*/*"), media_type):
        raise Problem(406, "not-acceptable", "The answer has the media type of the request.")
    query_parameters(request)
    key = key_of(request)
    if media_type == NDJSON:
        return await answer_stream(service, request, key)
    return await answer_array(service, request, key)
