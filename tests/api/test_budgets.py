"""What jobs cost: asked before, reserved, settled at their end; and how many a key may have."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from storage.jobs.charges import Prices
from storage.jobs.money import micros
from tests.api.conftest import API, PRICES, Site
from tests.api.keyed import KeyedSite, keyed_site

OUTPUTS = 4  # that the runner of these tests saves, one of them a preview
PRICE = OUTPUTS * PRICES.per_output


@pytest.fixture
async def keyed(site: Site) -> AsyncIterator[KeyedSite]:
    async with keyed_site(site) as opened:
        yield opened


async def executed(client: httpx.AsyncClient, **workflow: Any) -> httpx.Response:
    wait = 0 if workflow else 30
    return await client.post(f"{API}/execute", json={"workflow": workflow, "wait": wait})


async def account(client: httpx.AsyncClient) -> Any:
    return (await client.get("/api/v7/account")).json()


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


async def test_a_job_is_charged_for_its_outputs(keyed: KeyedSite) -> None:
    client = await keyed.client(await keyed.key("acme", budget=micros(PRICE)))
    assert (await executed(client)).json()["status"] == "success"
    shown = await account(client)
    assert (shown["owner"], shown["prices"]["per_output"]) == ("acme", 0.25)
    used = shown["usage"]
    assert (used["jobs"], used["unfinished_jobs"], used["outputs"]) == (1, 0, OUTPUTS)
    assert (used["spent"], shown["key"]["spent"], shown["key"]["reserved"]) == (PRICE, PRICE, 0)
    refused = await executed(client)
    assert code(refused) == (402, "budget_spent")
    assert (await account(client))["usage"]["jobs"] == 1


async def test_a_job_that_fails_costs_nothing(keyed: KeyedSite) -> None:
    client = await keyed.client(await keyed.key("acme", budget=micros(1)))
    answer = await client.post(f"{API}/execute", json={"workflow": {"broken": 1}})
    assert answer.json()["status"] == "failed"
    assert keyed.site.runner.kept == set()  # nor does another job go on from its results
    assert ((await account(client))["key"] or {})["spent"] == 0


async def test_what_runs_is_reserved_and_released(keyed: KeyedSite) -> None:
    client = await keyed.client(await keyed.key("acme", budget=micros(PRICES.per_output)))
    held = (await executed(client, hold=1)).json()["id"]
    assert (await account(client))["key"]["reserved"] == PRICES.per_output
    assert code(await executed(client)) == (402, "budget_spent")
    await client.delete(f"{API}/jobs/{held}")
    key = (await account(client))["key"]
    assert (key["reserved"], key["unfinished_jobs"], key["spent"]) == (0, 0, 0)


async def test_a_key_has_so_many_jobs_at_once(keyed: KeyedSite) -> None:
    client = await keyed.client(await keyed.key("acme", concurrency=1))
    held = (await executed(client, hold=1)).json()["id"]
    refused = await executed(client)
    assert code(refused) == (429, "concurrency_limit")
    assert refused.headers["Retry-After"]
    other = await keyed.client(await keyed.key("acme", concurrency=1))
    assert (await executed(other)).is_success
    await client.post(f"{API}/cancel/{held}")
    assert (await executed(client)).is_success


async def test_a_dry_run_says_what_a_job_may_cost(keyed: KeyedSite) -> None:
    client = await keyed.client(await keyed.key("acme", budget=0))
    body = {"workflow": {}, "dry_run": True}
    quoted = (await client.post(f"{API}/execute", json=body)).json()
    assert (quoted["estimated_price"], quoted["currency"]) == (PRICES.per_output, "USD")
    assert quoted["estimated_s"] > 0


async def test_the_same_request_twice_is_charged_once(keyed: KeyedSite) -> None:
    client = await keyed.client(await keyed.key("acme"))
    for _ in range(2):
        headers = {"Idempotency-Key": "one"}
        await client.post(f"{API}/execute", json={"workflow": {}}, headers=headers)
    assert (await account(client))["usage"]["spent"] == PRICE


async def test_without_keys_use_is_counted_too(site: Site) -> None:
    await site.execute({})
    shown = await account(site.client)
    assert (shown["owner"], shown["key"], shown["usage"]["jobs"]) == ("local", None, 1)


async def test_a_job_that_fails_pays_for_what_it_handed_out(keyed: KeyedSite) -> None:
    client = await keyed.client(await keyed.key("acme", budget=micros(PRICE)))
    body = {"workflow": {"prefix": "../x"}}  # the preview comes before
    answer = (await client.post(f"{API}/execute", json=body)).json()
    assert (answer["status"], len(answer["outputs"])) == ("failed", 1)
    assert (await account(client))["key"]["spent"] == PRICES.per_output


async def test_a_picture_that_is_sent_is_paid_though_the_job_fails(keyed: KeyedSite) -> None:
    client = await keyed.client(await keyed.key("acme", budget=micros(1)))
    node = {"class_type": "X"}
    body = {"prompt": {"send": node, "broken": node}, "client_id": "c"}
    prompt_id = (await client.post("/prompt", json=body)).json()["prompt_id"]
    record = (await keyed.site.service.stores.prompts.find("acme", prompt_id)).record
    await keyed.site.ended(record.id, owner="acme")
    shown = await account(client)
    assert (shown["usage"]["outputs"], shown["key"]["spent"]) == (1, PRICES.per_output)


async def test_a_job_stops_where_the_budget_ends(keyed: KeyedSite) -> None:
    budget = 2 * PRICES.per_output
    client = await keyed.client(await keyed.key("acme", budget=micros(budget)))
    answer = (await executed(client)).json()
    assert (answer["status"], answer["errors"][0]["code"]) == ("failed", "budget_spent")
    assert len(answer["outputs"]) == 2
    key = (await account(client))["key"]
    assert (key["spent"], key["reserved"]) == (budget, 0)


async def test_a_job_that_is_cancelled_and_deleted_pays_for_its_outputs(keyed: KeyedSite) -> None:
    client = await keyed.client(await keyed.key("acme", budget=micros(PRICE)))
    job_id = (await executed(client, hold_after=1)).json()["id"]
    await keyed.site.runner.saved.wait()
    assert (await client.delete(f"{API}/jobs/{job_id}")).is_success
    assert (await account(client))["key"]["spent"] == PRICES.per_output


async def test_a_file_that_no_answer_lists_is_not_served(keyed: KeyedSite) -> None:
    client = await keyed.client(await keyed.key("acme"))
    job_id = (await executed(client, hold_after=1)).json()["id"]
    await keyed.site.runner.saved.wait()
    files = keyed.site.service.stores.outputs.files
    (name,) = [file.key.rpartition("/")[2] for file in files.list(f"outputs/acme/{job_id}/temp/")]
    view = f"/view?filename={name}&subfolder={job_id}&type=temp"
    assert (await client.get(view)).status_code == 404
    await client.post(f"{API}/cancel/{job_id}")
    assert (await client.get(view)).status_code == 200
    assert (await account(client))["key"]["spent"] == PRICES.per_output


async def test_a_job_that_fails_pays_where_another_went_on_from_it(keyed: KeyedSite) -> None:
    client = await keyed.client(await keyed.key("acme", budget=micros(100)))
    charges = keyed.site.service.stores.charges
    charges.prices = Prices(per_output=0.25, per_second=10.0)
    job_id = (await executed(client, hold=1, broken=1)).json()["id"]
    await keyed.site.runner.running.wait()
    keyed.site.runner.lenders.add(job_id)
    keyed.site.runner.go.set()
    await keyed.site.ended(job_id, owner="acme")
    answer = (await client.get(f"{API}/fetch/{job_id}")).json()
    assert (answer["status"], answer["outputs"], "lent" in answer) == ("failed", [], False)
    assert (await account(client))["key"]["spent"] > 0


async def test_what_a_running_job_saved_is_no_input_of_another(keyed: KeyedSite) -> None:
    """Before its end it has paid for nothing."""
    client = await keyed.client(await keyed.key("acme", budget=micros(2 * PRICE)))
    job_id = (await executed(client, hold_after=1)).json()["id"]
    await keyed.site.runner.saved.wait()
    files = keyed.site.service.stores.outputs.files
    (name,) = [file.key.rpartition("/")[2] for file in files.list(f"outputs/acme/{job_id}/temp/")]
    names = (f"job:{job_id}/10/0", f"{name} [temp]", f"{job_id}/{name} [temp]")
    for named in names:
        refused = await client.post(f"{API}/execute", json={"workflow": {"image": named}})
        assert refused.status_code in {404, 422}, named
    listed = await keyed.site.service.stores.inputs.list("acme")
    assert name not in str(listed)
    jobs = (await client.get(f"{API}/jobs")).json()["jobs"]
    assert [job.get("outputs", []) for job in jobs] == [[]]
    await client.post(f"{API}/cancel/{job_id}")
    chained = await client.post(f"{API}/execute", json={"workflow": {"image": names[0]}})
    assert chained.json()["status"] == "success"
