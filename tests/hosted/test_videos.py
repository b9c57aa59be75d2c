"""Text to video and image to video as workflows."""

from tests.hosted.conftest import Hosted, picture

TEXT, IMAGE = "v6/video/text2video", "v6/video/img2video"


async def test_a_prompt_becomes_a_video_of_a_motion_module(hosted: Hosted) -> None:
    nodes = await hosted.workflow(
        TEXT,
        model_id="v1-5-pruned",
        prompt="a fox runs",
        num_frames="24",
        width=256,
        height=192,
        fps=12,
        seed=5,
        lora_model="ink",
        output_type="mp4",
        upscale_width=512,
    )
    sampler, combine = nodes.one("KSampler"), nodes.one("VHS_VideoCombine")
    motion = nodes.one("ADE_AnimateDiffLoaderGen1")
    assert motion["model_name"] == "mm_sd_v15_v2.safetensors"
    assert nodes.behind(motion, "context_options")[0] == "ADE_StandardStaticContextOptions"
    assert nodes.one("EmptyLatentImage") == {"width": 256, "height": 192, "batch_size": 24}
    assert (sampler["seed"], sampler["steps"], sampler["cfg"]) == (5, 20, 7.0)
    assert nodes.behind(sampler, "positive")[1]["text"] == "a fox runs"
    assert nodes.behind(sampler, "model")[0] == "LoraLoader"
    assert (combine["format"], combine["frame_rate"]) == ("video/h264-mp4", 12)
    kind, enlarged = nodes.behind(combine, "images")
    assert (kind, enlarged["width"], enlarged["height"]) == ("ImageScale", 512, 384)


async def test_a_picture_becomes_a_video(hosted: Hosted) -> None:
    nodes = await hosted.workflow(
        IMAGE,
        model_id="svd",
        init_image=picture(96, 64),
        num_frames=14,
        min_guidance_scale="1.5",
        max_guidance_scale=2.5,
        motion_bucket_id=90,
        noise_aug_strength=0.1,
        output_type="gif",
    )
    assert nodes.one("ImageOnlyCheckpointLoader") == {"ckpt_name": "video/svd_xt.safetensors"}
    told = nodes.one("SVD_img2vid_Conditioning")
    expected = {
        "width": 96,
        "height": 64,
        "video_frames": 14,
        "motion_bucket_id": 90,
        "augmentation_level": 0.1,
        "fps": 6,
    }
    assert expected.items() <= told.items()
    assert nodes.one("VideoLinearCFGGuidance")["min_cfg"] == 1.5
    assert nodes.one("KSampler")["cfg"] == 2.5
    assert nodes.one("VHS_VideoCombine")["format"] == "image/gif"


async def test_an_answer_that_is_awaited_says_where_the_video_will_be(hosted: Hosted) -> None:
    body = {"prompt": "fail", "output_type": "mp4", "instant_response": True, "track_id": "t1"}
    answer = await hosted.post("v7/video-fusion/text-to-video", body)
    assert answer["status"] == "processing"
    assert answer["fetch_result"].endswith(f"/api/v7/video-fusion/fetch/{answer['id']}")
    (link,) = answer["future_links"]
    assert "/video_00001.mp4" in link
    wanted = {"num_frames": 16, "fps": 8, "motion_module": "mm_sd_v15_v2.safetensors"}
    assert wanted.items() <= answer["meta"].items()
    fetched = await hosted.post(f"v6/video/fetch/{answer['id']}")
    assert fetched["id"] == answer["id"]


async def test_what_no_video_can_be_is_a_400_with_the_field(hosted: Hosted) -> None:
    for body, said in (
        ({"prompt": "x", "num_frames": 1000}, "num_frames must be between 1 and 128"),
        ({"prompt": "x", "output_type": "avi"}, "output_type"),
        ({"prompt": "x", "motion_module": "nope"}, "Model not found: nope"),
    ):
        answer = await hosted.client.post(f"/api/{TEXT}", json=body)
        assert answer.status_code == 400
        assert said in answer.json()["message"]
