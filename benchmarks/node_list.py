"""The lists of node types in docs/compatibility.md: `python -m benchmarks.node_list` writes them.

What is declared is read from the code; what differs, and why others are missing, is written here.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from graph.comfyui_nodes import load_comfyui_nodes
from graph.node import NodeType
from graph.node_packs import COMFYUI, pack_of
from graph.nodes import load_node_types

PAGE = Path(__file__).parents[1] / "docs" / "compatibility.md"
BEGIN, END = "<!-- node types: begin -->", "<!-- node types: end -->"
PACKS = "graph.nodes.packs."
DIFFERENCES: Mapping[str, str] = MappingProxyType(
    {
        "ADE_AnimateDiffCombine": "files are named as by `VHS_VideoCombine`",
        "Any Switch (rgthree)": "links are tried in the order of their names",
        "BboxDetectorSEGS": "takes YOLOv8 files; no hooks",
        "ChromaRadianceOptions": "how many squares are worked on at once is the service's own",
        "ComfyMathExpression": "no attributes (`a.real`), no numbers of over 65,536 bits",
        "ComfyUIDeployExternalImage": "`input_id` is no URL: its loader takes pictures",
        "ContextWindowsManual": "0.3.64's inputs; hints and what lies beside latents are cut too",
        "DetailerForEach": "no hooks; `{a|b}` is drawn by the seed; `<lora:...>` is refused",
        "Efficient Loader": "weighs prompts by `none` and `comfy` alone; others are refused",
        "ETN_LoadImageBase64": "without alpha the mask is the first channel",
        "ETN_SaveImageCache": "PNG, whatever `format` says",
        "ETN_SendImageWebSocket": "PNG, whatever `format` says",
        "ETN_Translate": "translates nothing: other languages are refused",
        "FaceDetailer": "as `DetailerForEach`",
        "Image Save": "files are numbered as by `SaveImage`; histories are not shown",
        "ImageResizeKJv2": "has no `nvidia_rtx_vsr`",
        "ImpactSwitch": "`selected_label` is the name of the input",
        "ImpactWildcardEncode": "refuses `<lora:...>`; there are no files of wildcards",
        "ImpactWildcardProcessor": "there are no files of wildcards: `__name__` stays",
        "INPAINT_LoadFooocusInpaint": "declared for Krita's handshake alone: refused",
        "IPAdapterApply": "as `IPAdapterAdvanced` with `linear`; `noise` is not added",
        "IPAdapterFaceID": "`plusv2` in a file's name tells its version; no Kolors",
        "IPAdapterMS": "refuses FaceID's files",
        "KSampler (Efficient)": "takes no `script`: there are no XY plots and no HighRes-Fix",
        "KSampler Adv. (Efficient)": "takes no `script`",
        "LatentSwitch": "`selected_label` is the name of the input",
        "Load Text File": "reads an upload; a file that is not there is refused",
        "LTXVChunkFeedForward": "passes the model on",
        "LoadImageOutput": "no outputs are listed; the name of one, with `[output]`, is found",
        "MathExpression|pysssss": "reads no widgets of other nodes (`node.widget`)",
        "ModelComputeDtype": "passes the model on: the precision is the service's own",
        "ModelPatchTorchSettings": "passes the model on",
        "ONNXDetectorProvider": "files of keras-retinanet's layout, as in the pack",
        "PatchFlashAttentionKJ": "passes the model on",
        "PathchSageAttentionKJ": "passes the model on: attention is the service's own",
        "PreviewAny": "the text is a temporary output, its beginning is in `text`",
        "ReActorFaceSwap": "faces to restore are found by buffalo_l; nothing judges pictures",
        "ReActorFaceSwapOpt": "as `ReActorFaceSwap`",
        "ReActorRestoreFace": "faces are found by buffalo_l, edges are soft squares",
        "RegexExtract": "stops after 2 s; texts and patterns are bounded",
        "RegexMatch": "stops after 2 s; texts and patterns are bounded",
        "RegexReplace": "stops after 2 s; texts and patterns are bounded",
        "ScaleROPE": "models of Wan alone hear it",
        "Seed (rgthree)": "-2 and -3 give a random seed, as from any server",
        "SegmDetectorSEGS": "takes YOLOv8 files; no hooks",
        "SAMDetectorSegmented": "`batch_masks` are [B, H, W]; without parts one empty mask",
        "SAMLoader": "has no `ESAM`; the device is the service's own",
        "SEGSPaste": "a batch that is too short goes on with its last picture",
        "SEGSSwitch": "`selected_label` is the name of the input",
        "ShowText|pysssss": "the text is a temporary output, its beginning is in `text`",
        "StringFormat": "fields have no attributes, and are at most 1,000 wide",
        "Text Multiline": "tokens (`[time]`, `[hostname]`, `[user]`) stay as they are",
        "Text String": "tokens (`[time]`, `[hostname]`, `[user]`) stay as they are",
        "TorchCompileControlNet": "passes the ControlNet on",
        "TorchCompileModel": "passes the model on",
        "TorchCompileModelAdvanced": "passes the model on",
        "TorchCompileModelFluxAdvancedV2": "passes the model on",
        "TorchCompileModelWanVideoV2": "passes the model on",
        "TorchCompileVAE": "passes the autoencoder on",
        "UltralyticsDetectorProvider": "YOLOv8 for boxes and shapes; other versions are refused",
        "VAELoaderKJ": "device and dtype are the service's own",
        "WanContextWindowsManual": "as `ContextWindowsManual`",
        "WanChunkFeedForward": "passes the model on",
    }
)


def packs(node_types: Mapping[str, NodeType]) -> dict[str, list[str]]:
    """The names of the node types of each pack, ComfyUI's own first."""
    comfyui = load_comfyui_nodes()
    found: dict[str, list[str]] = defaultdict(list)
    for name, node_type in sorted(node_types.items()):
        if not node_type.internal:
            found[_pack(node_type, comfyui)].append(name)
    return dict(sorted(found.items(), key=lambda one: (one[0] != COMFYUI, one[0].lower())))


def _pack(node_type: NodeType, comfyui: Mapping[str, object]) -> str:
    if node_type.name not in comfyui and node_type.function.__module__.startswith(PACKS):
        said = sys.modules[node_type.function.__module__].__doc__ or ""
        return said.partition(":")[0].partition(",")[0]
    return pack_of(node_type.name, "", comfyui) or "other packs"


def section() -> str:
    """The lists, as they stand on the page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    node_types = load_node_types()
    yield BEGIN
    for pack, names in packs(node_types).items():
        yield f"\n### {pack} ({len(names)})\n"
        yield ", ".join(f"`{name}`" for name in names)
        different = [name for name in names if name in DIFFERENCES]
        if different:
            yield "\n| differs | how |\n| --- | --- |"
            yield from (f"| `{_cell(name)}` | {DIFFERENCES[name]} |" for name in different)
    yield f"\n{END}"


def _cell(name: str) -> str:
    return name.replace("|", "\\|")


def main() -> None:
    """Write the lists into the page."""
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{section()}{after}", "utf-8")


if __name__ == "__main__":
    main()
