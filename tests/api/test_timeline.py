"""The picture of a job's timeline."""

from typing import Any
from xml.etree import ElementTree

from api.jobs.timeline import timeline_svg
from tests.api.conftest import API, Site

SVG = "{http://www.w3.org/2000/svg}"


def _node(node_id: str, stage: str, start_s: float, end_s: float, **more: Any) -> dict[str, Any]:
    node = {"node_id": node_id, "class_type": "KSampler", "stage": stage, "cached": False}
    return {**node, "start_s": start_s, "end_s": end_s, **more}


def _texts(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def _bars(picture: str) -> list[tuple[float, float]]:
    """Left and right of each bar, from the top down."""
    rects = list(ElementTree.fromstring(picture).iter(f"{SVG}rect"))[1:]
    return [(float(r.attrib["x"]), float(r.attrib["x"]) + float(r.attrib["width"])) for r in rects]


async def test_a_jobs_timeline_shows_its_nodes(site: Site) -> None:
    job_id = (await site.execute({})).json()["id"]
    response = await site.client.get(f"{API}/jobs/{job_id}/timeline.svg")
    assert response.headers["content-type"] == "image/svg+xml"
    assert {"sample", "3 KSampler", "0.1 s", f"Job {job_id}: success"} <= set(_texts(response.text))


async def test_another_jobs_timeline_is_not_there(site: Site) -> None:
    assert (await site.client.get(f"{API}/jobs/1/timeline.svg")).status_code == 404


async def test_a_failed_job_has_an_empty_timeline(site: Site) -> None:
    job_id = (await site.execute({"broken": 1})).json()["id"]
    response = await site.client.get(f"{API}/jobs/{job_id}/timeline.svg")
    assert any("no node has run" in text for text in _texts(response.text))


def test_bars_lie_where_the_time_is() -> None:
    nodes = [_node("1", "encode", 0.0, 1.0), _node("2", "sample", 1.0, 4.0)]
    (a, b), (c, d) = _bars(timeline_svg("t", nodes, queued_s=0.0))
    assert abs(b - c) < 0.2
    assert abs((d - c) / (b - a) - 3) < 0.1


def test_stages_are_in_the_order_of_the_work() -> None:
    nodes = [_node("1", "output", 2, 3), _node("2", "encode", 0, 1), _node("3", "sample", 1, 2)]
    texts = _texts(timeline_svg("t", nodes, queued_s=0.0))
    stages = [text for text in texts if text in {"output", "encode", "sample"}]
    assert stages == ["encode", "sample", "output"]


def test_names_cannot_become_markup() -> None:
    evil = "</text><script>alert(1)</script>"
    picture = timeline_svg(evil, [_node(evil, "sample", 0, 1, class_type='"><x')], queued_s=0.0)
    assert "<script" not in picture
    assert evil in _texts(picture)


def test_long_workflows_are_cut_off() -> None:
    nodes = [_node(str(i), "inline", 0, 0, cached=True) for i in range(500)]
    texts = _texts(timeline_svg("t", nodes, queued_s=0.0))
    assert any("300 more not shown" in text for text in texts)
