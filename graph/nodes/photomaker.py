"""PhotoMaker: prompts in which a person's picture takes the place of a word."""

from typing import Annotated

from graph.node import Files, Widget, node
from graph.stages import Stage
from graph.stages.encode import PersonEncoding
from graph.values import Clip, Conditioning, Image, ModelFile, PhotoMaker

WORD = "photomaker"  # that the picture is for
Prompt = Annotated[str, Widget(multiline=True, dynamicPrompts=True)]


@node(
    "PhotoMakerLoader",
    runs_on=Stage.INLINE,
    display_name="Load PhotoMaker Model",
    category="model/loaders",
    experimental=True,
)
def load_photomaker(
    *, photomaker_model_name: Annotated[ModelFile, Files("photomaker")]
) -> PhotoMaker:
    """Name a network that puts a person into prompts."""
    return PhotoMaker(photomaker_model_name)


@node(
    "PhotoMakerEncode",
    runs_on=Stage.ENCODE,
    display_name="PhotoMaker Encode",
    category="model/conditioning/photomaker",
    experimental=True,
)
async def encode_person(
    encoders: PersonEncoding,
    *,
    photomaker: PhotoMaker,
    image: Image,
    clip: Clip,
    text: Prompt = "photograph of photomaker",
) -> Conditioning:
    """Encode a prompt in which the word "photomaker" is the person in a picture."""
    words = text.split(" ")
    if WORD not in words:
        return await encoders.encode_text(clip, text)
    place = words.index(WORD)  # where the word before it is, as a prompt begins with a mark
    rest = " ".join([*words[:place], *words[place + 1 :]])
    conditioning = await encoders.encode_text(clip, rest)
    return await encoders.show_person(conditioning, photomaker, image, place)
