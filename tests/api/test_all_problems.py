"""Fields that a route does not know, told with all else that is wrong with a request."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from api.errors import InvalidFieldsError, reasons
from api.workflow_bodies import read_only
from graph.problems import Problem, WorkflowInvalidError
from graph.prompt import WorkflowNotJson
from tests.api.conftest import API, Site
from tests.api.keyed import KeyedSite, keyed_site


@pytest.fixture
async def keyed(site: Site) -> AsyncIterator[KeyedSite]:
    async with keyed_site(site) as made:
        yield made


@pytest.mark.parametrize("dry_run", [True, False])
async def test_wrong_fields_and_a_wrong_workflow_are_told_at_once(
    site: Site, dry_run: bool
) -> None:
    response = await site.execute(
        {"unknown": 1}, wiat=3, priority=99, webhook="http://inside.example/", dry_run=dry_run
    )
    assert response.status_code == 422
    errors = response.json()["errors"]
    found = {(error["code"], error["node_id"], error["input"]) for error in errors}
    assert found == {
        ("unknown_field", None, "wiat"),
        ("invalid_field", None, "priority"),
        ("invalid_field", None, "webhook"),
        ("missing_node_type", "1", None),
        ("value_not_in_list", "3", None),
    }
    (unknown,) = [error for error in errors if error["code"] == "unknown_field"]
    assert unknown["suggestion"] == "wait"


async def test_wrong_fields_of_a_workflow_that_can_run_are_told_alone(site: Site) -> None:
    response = await site.execute({}, wiat=3)
    assert [error["input"] for error in response.json()["errors"]] == ["wiat"]
    assert site.runner.started == []


async def _refuse(_: Mapping[str, Any]) -> Mapping[str, Any]:
    raise WorkflowInvalidError((Problem("missing_node_type", "Not here.", "1", "Nope"),))


async def _unreadable(_: Mapping[str, Any]) -> Mapping[str, Any]:
    raise WorkflowNotJson("It is not JSON.", "", "")


async def test_reading_tells_unknown_fields_with_the_workflows_problems() -> None:
    with pytest.raises(WorkflowInvalidError) as caught:
        await read_only({"workflow": {}, "inptus": {}}, ("workflow",), _refuse)
    told = [problem.code for problem in caught.value.problems]
    assert told == ["unknown_field", "missing_node_type"]
    with pytest.raises(InvalidFieldsError) as unreadable:
        await read_only({"workflow": {}, "object_inof": {}}, ("workflow",), _unreadable)
    assert len(list(reasons(unreadable.value))) == 2


@pytest.mark.parametrize(
    ("path", "body", "wrong", "meant"),
    [
        (f"{API}/schema", {"workflow": {}, "worfklow": {}}, "worfklow", "workflow"),
        (f"{API}/convert", {"workflow": {}, "object_inof": {}}, "object_inof", "object_info"),
        ("/api/v7/admin/keys", {"owner": "acme", "budgte": 1}, "budgte", "budget"),
        (
            "/api/v7/models",
            {"url": "https://huggingface.co/x", "fodler": "loras"},
            "fodler",
            "folder",
        ),
        (
            "/api/v7/models/uploads",
            {"filename": "x.safetensors", "size": 9, "sha265": "0" * 64},
            "sha265",
            "sha256",
        ),
    ],
)
async def test_other_routes_suggest_what_was_meant(
    path: str, body: dict[str, Any], wrong: str, meant: str, keyed: KeyedSite
) -> None:
    client = await keyed.client(await keyed.key("acme"))
    response = await client.post(path, json=body)
    assert response.status_code == 422
    (unknown,) = [one for one in response.json()["errors"] if one["code"] == "unknown_field"]
    assert (unknown["input"], unknown["suggestion"]) == (wrong, meant)
