"""WAS Node Suite: texts, seeds, pictures resized and saved.

Of its tokens [time] and [time(%Y-%m-%d)] are filled in where files are named; others stay.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Literal, TypedDict, Unpack

from graph.errors import FileNameError
from graph.file_prefix import prefix_problem
from graph.made_values import check_text
from graph.node import Default, Hidden, MayBeAbsent, Upload, Widget, node
from graph.prompt import Node, Source
from graph.results import Expansion
from graph.stages import Stage
from graph.stages.fitting import Fitting
from graph.stages.output import OutputFunctions, PictureForm
from graph.values import Clip, Image, InputFile, Link

TEXT = "WAS Suite/Text"
SAVE = "comfyray.SaveImageAs"
TIME = re.compile(r"\[time(?:\((.*?)\))?\]")
YesNo = Annotated[Literal["true", "false"], Default("true")]
NoYes = Annotated[Literal["false", "true"], Default("false")]
Line = Annotated[str, Widget(multiline=False), MayBeAbsent()]
Given = Annotated[str | None, Widget(forceInput=True)]


@node("Text Multiline", runs_on=Stage.INLINE, category=TEXT)
def text_multiline(
    *, text: Annotated[str, Widget(multiline=True, dynamicPrompts=True)] = ""
) -> str:
    """Give a text without its lines that begin with #."""
    lines = text.removesuffix("\n").split("\n") if text else []
    return "\n".join(line for line in lines if not line.strip().startswith("#"))


@node("Text Concatenate", runs_on=Stage.INLINE, category=TEXT)
def text_concatenate(
    *,
    delimiter: str = ", ",
    clean_whitespace: Literal["true", "false"] = "true",
    text_a: Given = None,
    text_b: Given = None,
    text_c: Given = None,
    text_d: Given = None,
) -> str:
    """Join texts, those that are not empty."""
    between = "\n" if delimiter in {"\n", "\\n"} else delimiter
    given = [text for text in (text_a, text_b, text_c, text_d) if isinstance(text, str)]
    parts = [text.strip() if clean_whitespace == "true" else text for text in given]
    check_text(sum(len(part) + len(between) for part in parts))
    return between.join(part for part in parts if part)


@node(
    "Text String",
    runs_on=Stage.INLINE,
    category=TEXT,
    outputs=("TEXT", "TEXT_B", "TEXT_C", "TEXT_D"),
)
def text_string(
    *,
    text: Annotated[str, Widget(multiline=False)] = "",
    text_b: Line = "",
    text_c: Line = "",
    text_d: Line = "",
) -> tuple[str, str, str, str]:
    """Give up to four texts."""
    return text, text_b, text_c, text_d


@node(
    "Seed",
    runs_on=Stage.INLINE,
    category="WAS Suite/Number",
    outputs=("seed", "number", "float", "int"),
)
def seed(
    *, seed: Annotated[int, Widget(min=0, max=2**64 - 1, control_after_generate=True)] = 0
) -> tuple[Annotated[Any, Link("SEED")], Annotated[Any, Link("NUMBER")], float, int]:
    """Give a seed, as several kinds of number."""
    return {"seed": seed}, seed, float(seed), seed


@node(
    "Text to Conditioning",
    runs_on=Stage.INLINE,
    rewrites=True,
    category="WAS Suite/Text/Operations",
)
def text_to_conditioning(
    *, clip: Clip, text: Annotated[str, Widget(forceInput=True)]
) -> Annotated[Expansion, Link("CONDITIONING")]:
    """Encode a text as a prompt."""
    prompt = Node("CLIPTextEncode", {"clip": clip, "text": text})
    return Expansion({"encoded": prompt}, (Source("encoded", 0),))


@node("Load Text File", runs_on=Stage.INLINE, category="WAS Suite/IO")
def load_text(
    *,
    file_path: Annotated[InputFile, Upload("file", "{}")],
    dictionary_name: Annotated[str, Widget(multiline=False)] = "[filename]",
) -> tuple[str, Annotated[Any, Link("DICT")]]:
    """Read an uploaded text without its lines that begin with #."""
    text = file_path.content.decode("utf-8", "replace")
    check_text(len(text))
    own = file_path.name.rpartition("/")[2].partition(".")[0]
    lines = [line.replace("\r", "") for line in text.removesuffix("\n").split("\n")]
    kept = [line for line in lines if not line.strip().startswith("#")] if text else []
    name = own if dictionary_name == "[filename]" else dictionary_name
    return "\n".join(kept), {name: kept}


@node("Image Resize", runs_on=Stage.IMAGE, category="WAS Suite/Image/Transform")
def resize_image(
    fitting: Fitting,
    *,
    image: Image,
    mode: Literal["rescale", "resize"],
    supersample: Literal["true", "false"],
    resampling: Literal["lanczos", "nearest", "bilinear", "bicubic"],
    rescale_factor: Annotated[float, Widget(min=0.01, max=16.0, step=0.01)] = 2.0,
    resize_width: Annotated[int, Widget(min=1, max=48000, step=1)] = 1024,
    resize_height: Annotated[int, Widget(min=1, max=48000, step=1)] = 1536,
) -> Image:
    """Resize pictures by a factor, or to a size of multiples of 8."""
    size = None if mode == "rescale" else (-(-resize_width // 8) * 8, -(-resize_height // 8) * 8)
    return fitting.resample(
        image, size or rescale_factor, resampling, by_way_of=8 if supersample == "true" else 1
    )


class Saved(TypedDict):
    images: Image
    output_path: Annotated[str, Widget(multiline=False), Default("[time(%Y-%m-%d)]")]
    filename_prefix: Annotated[str, Default("ComfyUI")]
    filename_delimiter: Annotated[str, Default("_")]
    filename_number_padding: Annotated[int, Widget(min=1, max=9, step=1), Default(4)]
    filename_number_start: NoYes
    extension: Literal["png", "jpg", "jpeg", "gif", "tiff", "webp", "bmp"]
    dpi: Annotated[int, Widget(min=1, max=2400, step=1), Default(300)]
    quality: Annotated[int, Widget(min=1, max=100, step=1), Default(100)]
    optimize_image: YesNo
    lossless_webp: NoYes
    overwrite_mode: Literal["false", "prefix_as_filename"]
    show_history: NoYes
    show_history_by_prefix: YesNo
    embed_workflow: YesNo
    show_previews: YesNo


@node(
    "Image Save",
    runs_on=Stage.INLINE,
    rewrites=True,
    category="WAS Suite/IO",
    outputs=("images", "files"),
    output_node=True,
)
def save_images(
    **given: Unpack[Saved],
) -> tuple[Annotated[Expansion, Link("IMAGE")], Annotated[Expansion, Link("STRING")]]:
    """Keep pictures as outputs of the job, in a format of their own."""
    folder, name = _with_time(given["output_path"]), _with_time(given["filename_prefix"])
    inside = folder.strip() not in {"", ".", "none"}
    prefix = f"{folder.strip().rstrip('/')}/{name}" if inside else name
    if problem := prefix_problem(prefix):
        raise FileNameError(prefix, problem)
    form = PictureForm(
        given["extension"],
        quality=given["quality"],
        lossless=given["lossless_webp"] == "true",
        dpi=given["dpi"],
        with_metadata=given["embed_workflow"] == "true",
    )
    how = {"images": given["images"], "filename_prefix": prefix, "form": form}
    saved = {"saved": Node(SAVE, how)}
    return Expansion(saved, (given["images"], prefix))  # type: ignore[return-value]


def _with_time(text: str) -> str:
    now = datetime.now().astimezone()

    def said(found: re.Match[str]) -> str:
        return now.strftime(found[1]) if found[1] else str(int(now.timestamp()))

    return TIME.sub(said, text)


@node(SAVE, runs_on=Stage.OUTPUT, internal=True, output_node=True)
async def save_images_as(
    outputs: OutputFunctions,
    *,
    images: Image,
    filename_prefix: str,
    form: Annotated[PictureForm, Link("comfyray.PictureForm")],
    prompt: Annotated[object, Hidden.PROMPT] = None,  # noqa: ARG001 - `outputs` has both
    extra_pnginfo: Annotated[object, Hidden.EXTRA_PNGINFO] = None,  # noqa: ARG001
) -> None:
    """Keep pictures as outputs of the job, in a format that is asked for."""
    await outputs.save_images(images, filename_prefix, form=form)
