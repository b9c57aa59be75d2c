"""The OpenAPI document itself, and what HTTP says about a method that is not served."""

from typing import Any

import httpx
import pytest

from tests.api.conftest import API, Site

KEYED = {"400", "401", "403", "413", "429", "500"}


@pytest.fixture
async def document(site: Site) -> dict[str, Any]:
    return dict((await site.client.get("/openapi.json")).json())


async def test_every_route_with_a_key_says_what_a_key_can_meet(document: dict[str, Any]) -> None:
    operations = [one for of_path in document["paths"].values() for one in of_path.values()]
    keyed = [one for one in operations if "security" in one]
    assert len(keyed) > 60
    assert [one["operationId"] for one in keyed if not one["responses"].keys() >= KEYED] == []


async def test_errors_have_one_shape_and_an_example(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path, of_path in document["paths"].items():
        for operation in of_path.values():
            for status, response in operation["responses"].items():
                if status < "400":
                    continue
                content = response["content"]["application/json"]
                assert content["schema"] == {"$ref": "#/components/schemas/Error"}, (path, status)
                assert content["example"]["status"] == "error"


async def test_answers_lead_to_the_routes_that_take_their_ids(document: dict[str, Any]) -> None:
    links = document["paths"][f"{API}/execute"]["post"]["responses"]["200"]["links"]
    assert links[f"get {API}/fetch/{{job_id}}"]["parameters"] == {"job_id": "$response.body#/id"}
    operations = {
        one["operationId"] for of_path in document["paths"].values() for one in of_path.values()
    }
    assert {link["operationId"] for link in links.values()} <= operations


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (f"{API}/fetch/1", "GET, POST"),
        ("/api/v7/admin/keys/1", "DELETE, GET, PATCH"),
        ("/api/v7/models/uploads", "POST"),
        ("/api/v7/models/mdl_x", "DELETE, GET"),
        ("/api/object_info", "GET"),
        ("/api/v6/processing/request_count", "GET, POST"),
        ("/api/v6/images/img2img", "POST"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(site: Site, path: str, allowed: str) -> None:
    answer: httpx.Response = await site.client.options(path)
    assert (answer.status_code, answer.headers.get("Allow")) == (405, allowed)
