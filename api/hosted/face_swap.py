"""Face swap: puts faces of one picture into another."""

from pydantic import Field

from api.hosted.draft import Draft
from api.hosted.example_picture import PICTURE
from api.hosted.family import Family
from api.hosted.fields import Flag, HostedRequest, PictureText
from api.hosted.meta import shown_pictures, yes_no
from api.hosted.parts import Bench, Translation

FOLDERS = ("/api/v6/faceswap", "/api/v6/deepfake")


class MultipleFaceSwap(HostedRequest):
    """A picture with all of its faces swapped, from left to right."""

    init_image: PictureText = Field(description="The picture whose faces go.")
    target_image: PictureText = Field(description="The picture whose faces are put in.")
    watermark: Flag = Field(True, description="Accepted; none is drawn.")


class SingleFaceSwap(MultipleFaceSwap):
    """A picture with one face swapped: the one that is most like a reference's."""

    reference_image: PictureText = Field(description="A picture of the face that goes.")


async def translate_multiple(request: MultipleFaceSwap, bench: Bench) -> Translation:
    draft = Draft.of("multiple_face_swap")
    await _fill(draft, request, bench)
    return _translation(draft, request)


async def translate_single(request: SingleFaceSwap, bench: Bench) -> Translation:
    draft = Draft.of("single_face_swap")
    await _fill(draft, request, bench)
    reference = await bench.pictures.read("reference_image", request.reference_image)
    draft.set("Reference", image=reference.uri)
    return _translation(draft, request, reference_image=request.reference_image)


async def _fill(draft: Draft, request: MultipleFaceSwap, bench: Bench) -> None:
    picture = await bench.pictures.read("init_image", request.init_image)
    face = await bench.pictures.read("target_image", request.target_image)
    draft.set("Picture", image=picture.uri)
    draft.set("Face", image=face.uri)
    usual = await bench.catalog.best("face_swap", ("inswapper",))
    draft.set("Swap", swap_model=usual or bench.catalog.default("face_swap"))


def _translation(draft: Draft, request: MultipleFaceSwap, **pictures: str) -> Translation:
    meta = {"base64": yes_no(request.base64), "track_id": request.track_id, "watermark": "no"}
    shown = {"init_image": request.init_image, "target_image": request.target_image, **pictures}
    ignored = ["watermark"] if request.watermark else []
    return Translation(draft, meta | shown_pictures(**shown), ignored)


MULTIPLE = Family(
    MultipleFaceSwap,
    translate_multiple,
    "Face swap, of all faces",
    (f"{FOLDERS[0]}/multiple_face_swap",),
    (f"{FOLDERS[1]}/multiple_face_swap",),
    {"init_image": PICTURE, "target_image": PICTURE},
)
SINGLE = Family(
    SingleFaceSwap,
    translate_single,
    "Face swap, of one face",
    (f"{FOLDERS[0]}/single_face_swap",),
    (f"{FOLDERS[1]}/single_face_swap",),
    {"init_image": PICTURE, "target_image": PICTURE, "reference_image": PICTURE},
)
