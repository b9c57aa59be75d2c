"""Face swaps as workflows."""

from tests.hosted.conftest import Hosted, picture


async def test_one_face_is_swapped_by_a_reference(hosted: Hosted) -> None:
    given = {"init_image": picture(96, 64), "target_image": picture(64, 64)}
    answer = await hosted.post(
        "v6/deepfake/single_face_swap", {**given, "reference_image": picture(32, 32)}
    )
    assert answer["status"] == "success"
    assert "watermark" in answer["tip"]
    nodes = await hosted.workflow(
        "v6/faceswap/single_face_swap", **given, reference_image=picture(32, 32), watermark=False
    )
    swap = nodes.one("FaceSwapByReference")
    assert swap["swap_model"] == "inswapper_128.onnx"
    loaded = [nodes.behind(swap, name)[1]["image"] for name in ("image", "reference_image")]
    assert len(set(loaded)) == 2
    assert nodes.behind(nodes.one("SaveImage"), "images")[0] == "FaceSwapByReference"


async def test_all_faces_are_swapped_from_left_to_right(hosted: Hosted) -> None:
    nodes = await hosted.workflow(
        "v6/faceswap/multiple_face_swap", init_image=picture(96, 64), target_image=picture(64, 64)
    )
    options = nodes.one("ReActorOptions")
    assert options["input_faces_order"] == options["source_faces_order"] == "left-right"
    assert options["input_faces_index"] == options["source_faces_index"] == "0,1,2,3,4,5,6,7,8,9"
    assert nodes.one("ReActorFaceSwapOpt")["swap_model"] == "inswapper_128.onnx"


async def test_a_face_that_is_not_given_is_a_400(hosted: Hosted) -> None:
    body = {"init_image": picture(), "target_image": picture()}
    answer = await hosted.client.post("/api/v6/faceswap/single_face_swap", json=body)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("reference_image ")
