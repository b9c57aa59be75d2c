"""What Bob tries with what Alice has, in each of ComfyUI's routes: see test_owners_apart.py."""

from collections.abc import Mapping

from tests.api.two_owners import Check, Route, TwoOwners, nothing_of_hers

FILE = "/userdata/workflows%2Fplan.json"
SETTING = "/settings/Comfy.Secret"
NODE = {"class_type": "KSampler", "inputs": {}}
PROMPT_READS = (
    "/prompt",
    "/queue",
    "/history",
    "/history/{prompt_id}",
    "/api/jobs",
    "/api/jobs/{prompt_id}",
)
PROMPT_CHANGES = (
    "/queue",
    "/history",
    "/interrupt",
    "/api/jobs/cancel",
    "/api/jobs/{prompt_id}/cancel",
)


async def her_settings(two: TwoOwners) -> None:
    await two.alice.post("/settings", json={"Comfy.Secret": "fox"})
    assert (await two.alice.get("/settings")).json()["Comfy.Secret"] == "fox"


async def settings(two: TwoOwners) -> None:
    await her_settings(two)
    assert "Comfy.Secret" not in (await two.bob.get("/settings")).json()
    assert (await two.bob.get(SETTING)).json() is None


async def change_settings(two: TwoOwners) -> None:
    await her_settings(two)
    assert (await two.bob.post("/settings", json={"Comfy.Secret": "his"})).is_success
    assert (await two.bob.post(SETTING, json="his own")).is_success
    assert (await two.bob.get(SETTING)).json() == "his own"
    assert (await two.alice.get(SETTING)).json() == "fox"


async def her_file(two: TwoOwners) -> None:
    assert (await two.alice.post(FILE, content=b"hers")).is_success


async def saved_files(two: TwoOwners) -> None:
    await her_file(two)
    for url in (FILE, "/userdata?dir=workflows", "/userdata/..%2Falice%2Fworkflows%2Fplan.json"):
        assert (await two.bob.get(url)).status_code in {400, 404}
    assert (await two.bob.get("/v2/userdata")).json() == []
    assert (await two.bob.get("/v2/userdata?path=workflows")).status_code == 404


async def save_file(two: TwoOwners) -> None:
    """A file of the same name is another file, and hers is nothing to move."""
    await her_file(two)
    assert (await two.bob.post(f"{FILE}/move/mine.json")).status_code == 404
    assert (await two.bob.post(f"{FILE}?overwrite=false", content=b"his")).is_success
    assert (await two.alice.get(FILE)).content == b"hers"


async def remove_file(two: TwoOwners) -> None:
    await her_file(two)
    assert (await two.bob.delete(FILE)).status_code == 404
    assert (await two.alice.get(FILE)).content == b"hers"


async def model_names(two: TwoOwners) -> None:
    for url in ("/models/loras", "/experiment/models/loras"):
        assert (await two.bob.get(url)).json() == []
        assert len((await two.alice.get(url)).json()) == 1


async def machine_paths(two: TwoOwners) -> None:
    """Paths of the machine are nobody's who has a key."""
    for client in (two.alice, two.bob):
        assert not any((await client.get("/internal/folder_paths")).json().values())
        places = (await client.get("/experiment/models")).json()
        assert not any(place["folders"] for place in places)
        assert (await client.get("/internal/logs")).json() == ""
        assert (await client.get("/internal/logs/raw")).json()["entries"] == []
        assert (await client.get("/system_stats")).json()["system"]["argv"] == ["comfyray"]


async def input_files(two: TwoOwners) -> None:
    assert (await two.bob.get("/internal/files/input")).json() == []
    assert (await two.alice.get("/internal/files/input")).json() == [f"{two.upload} [input]"]


async def her_prompts(two: TwoOwners) -> tuple[str, str]:
    """One that runs, and one that waits for it."""
    ids = []
    for prompt in ({"hold": NODE}, {"9": NODE}):
        body = {"prompt": prompt, "client_id": "c"}
        ids.append((await two.alice.post("/prompt", json=body)).json()["prompt_id"])
    return ids[0], ids[1]


async def prompts(two: TwoOwners) -> None:
    """His queue, history and list are empty, and each of her ids is nobody's."""
    ids = (*await her_prompts(two), str(two.ended), str(two.held))
    assert len((await two.alice.get("/queue")).json()["queue_running"]) == 2
    assert len((await two.alice.get("/history")).json()) == 1
    assert (await two.bob.get("/prompt")).json() == {"exec_info": {"queue_remaining": 0}}
    assert not any((await two.bob.get("/queue")).json().values())
    assert (await two.bob.get("/history")).json() == {}
    assert (await two.bob.get("/api/jobs")).json()["pagination"]["total"] == 0
    for prompt_id in ids:
        assert (await two.bob.get(f"/history/{prompt_id}")).json() == {}
        assert (await two.bob.get(f"/api/jobs/{prompt_id}")).status_code == 404


async def change_prompts(two: TwoOwners) -> None:
    """Whatever he clears, deletes or stops, hers go on."""
    running, waiting = await her_prompts(two)
    ids = [running, waiting, str(two.ended), str(two.held)]
    for url in ("/queue", "/history"):
        answer = await two.bob.post(url, json={"clear": True, "delete": ids})
        assert answer.is_success
    for body in ({}, *({"prompt_id": prompt_id} for prompt_id in ids)):
        assert (await two.bob.post("/interrupt", json=body)).is_success
    for prompt_id in ids:
        assert (await two.bob.post(f"/api/jobs/{prompt_id}/cancel")).status_code == 404
    answer = await two.bob.post("/api/jobs/cancel", json={"job_ids": ids})
    assert answer.json() == {"cancelled": False}
    jobs = (await two.alice.get("/api/jobs")).json()["jobs"]
    assert {job["id"]: job["status"] for job in jobs} == {
        running: "in_progress",
        waiting: "pending",
        str(two.held): "in_progress",
        str(two.ended): "completed",
    }


async def v2_jobs(two: TwoOwners) -> None:
    ids = (*await her_prompts(two), str(two.ended), str(two.held))
    for prompt_id in ids:
        url = f"/api/v2/jobs/{prompt_id}"
        assert (await two.alice.get(url)).json()["id"] == prompt_id
        paths = (("GET", ""), ("GET", "/workflow"), ("GET", "/events"), ("POST", "/cancel"))
        for method, path in ((method, f"{url}{path}") for method, path in paths):
            answer = await two.bob.request(method, path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        assert (await two.alice.get(url)).json()["status"] != "canceled"


async def v2_list(two: TwoOwners) -> None:
    await her_prompts(two)
    assert len((await two.alice.get("/api/v2/jobs")).json()["jobs"]) == 4
    assert (await two.bob.get("/api/v2/jobs")).json() == {"jobs": []}


async def v2_assets(two: TwoOwners) -> None:
    """Neither her uploads nor what her jobs saved; nor is a hash of hers one of his."""
    files = {"file": ("secret.png", b"hers")}
    hers = (await two.alice.post("/api/v2/assets", files=files)).json()
    job = (await two.alice.get(f"/api/v2/jobs/{two.ended}")).json()
    by_hash = f"/api/v2/assets/by-hash/{hers['hash']}"
    assert (await two.alice.head(by_hash)).status_code == 200
    assert (await two.bob.head(by_hash)).status_code == 404
    answer = await two.bob.post("/api/v2/assets/from-hash", json={"hash": hers["hash"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "blob_not_found")
    his = (await two.bob.post("/api/v2/assets", files=files)).json()
    assert his["created_new"] is True
    for asset_id in (hers["id"], job["outputs"][0]["id"]):
        url = f"/api/v2/assets/{asset_id}"
        assert (await two.alice.get(f"{url}/content")).status_code == 200
        paths = (("GET", ""), ("GET", "/content"), ("HEAD", "/content"), ("DELETE", ""))
        for method, path in paths:
            assert (await two.bob.request(method, f"{url}{path}")).status_code == 404
        reference = {"__type": "core/ASSET", "info": {"id": asset_id}}
        body = {"workflow": {"1": {"class_type": "LoadImage", "inputs": {"image": reference}}}}
        answer = await two.bob.post("/api/v2/jobs", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "missing_asset")


async def same_ids(two: TwoOwners) -> None:
    """His prompt may have the id, and the client, of hers."""
    running, _ = await her_prompts(two)
    body = {"prompt": {"9": NODE}, "prompt_id": running, "client_id": "c"}
    answer = await two.bob.post("/prompt", json=body)
    assert answer.json() == {"prompt_id": running, "number": 1, "node_errors": {}}


async def model_metadata(two: TwoOwners) -> None:
    name = (await two.alice.get("/models/loras")).json()[0]
    url = f"/view_metadata/loras?filename={name}"
    assert (await two.alice.get(url)).json() == {"title": "a test"}
    assert (await two.bob.get(url)).status_code == 404


async def put_pictures(two: TwoOwners) -> None:
    """The same id of two owners is two pictures."""
    url = "/api/etn/image/3f2a"
    assert (await two.alice.put(url, content=b"hers")).status_code == 201
    assert (await two.bob.get(url)).status_code == 404
    assert (await two.bob.put(url, content=b"his")).status_code == 201
    assert (await two.alice.get(url)).content == b"hers"


COMFYUI_CHECKS: Mapping[Route, Check] = {
    ("GET", "/settings"): settings,
    ("GET", "/settings/{name:path}"): settings,
    ("POST", "/settings"): change_settings,
    ("POST", "/settings/{name:path}"): change_settings,
    ("GET", "/userdata"): saved_files,
    ("GET", "/v2/userdata"): saved_files,
    ("GET", "/userdata/{file:path}"): saved_files,
    ("POST", "/userdata/{file:path}"): save_file,
    ("DELETE", "/userdata/{file:path}"): remove_file,
    ("GET", "/models/{folder}"): model_names,
    ("GET", "/experiment/models/{folder}"): model_names,
    ("GET", "/view_metadata/{folder}"): model_metadata,
    ("GET", "/experiment/models"): machine_paths,
    ("GET", "/internal/folder_paths"): machine_paths,
    ("GET", "/internal/logs"): machine_paths,
    ("GET", "/internal/logs/raw"): machine_paths,
    ("GET", "/system_stats"): machine_paths,
    ("GET", "/internal/files/{kind}"): input_files,
    **{
        ("GET", path): nothing_of_hers
        for path in (
            "/users",
            "/features",
            "/extensions",
            "/extensions/comfyray/template.js",
            "/i18n",
            "/global_subgraphs",
            "/workflow_templates",
            "/templates/index.json",
            "/templates/{file}",
            "/node_replacements",
            "/user.css",
            "/api/etn/languages",
            "/models",
            "/embeddings",
            "/experiment/models/preview/{folder}/{index}/{name:path}",
        )
    },
    **{("GET", path): prompts for path in PROMPT_READS},
    **{("POST", path): change_prompts for path in PROMPT_CHANGES},
    ("POST", "/prompt"): same_ids,
    ("GET", "/api/v2/jobs/{job_id}"): v2_jobs,
    ("GET", "/api/v2/jobs/{job_id}/workflow"): v2_jobs,
    ("POST", "/api/v2/jobs/{job_id}/cancel"): v2_jobs,
    ("GET", "/api/v2/jobs/{job_id}/events"): v2_jobs,
    ("GET", "/api/v2/jobs"): v2_list,
    ("POST", "/api/v2/jobs"): v2_assets,
    ("POST", "/api/v2/assets"): v2_assets,
    ("POST", "/api/v2/assets/from-hash"): v2_assets,
    ("GET", "/api/v2/assets/by-hash/{hash_}"): v2_assets,
    ("HEAD", "/api/v2/assets/by-hash/{hash_}"): v2_assets,
    ("GET", "/api/v2/assets/{asset_id}"): v2_assets,
    ("GET", "/api/v2/assets/{asset_id}/content"): v2_assets,
    ("HEAD", "/api/v2/assets/{asset_id}/content"): v2_assets,
    ("DELETE", "/api/v2/assets/{asset_id}"): v2_assets,
    ("PUT", "/api/etn/image/{id}"): put_pictures,
    ("GET", "/api/etn/image/{id}"): put_pictures,
    ("POST", "/free"): nothing_of_hers,
    ("PATCH", "/internal/logs/subscribe"): nothing_of_hers,
}
