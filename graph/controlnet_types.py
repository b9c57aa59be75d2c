"""The hosted API's `controlnet_type` names, and the preprocessor that draws the hint of each."""

from collections.abc import Mapping

AS_GIVEN = "none"  # AIO_Preprocessor's name for taking the picture as it is

# What the public SD 1.5 and SDXL ControlNets of each type were trained on, in the ControlNet-aux
# pack's names; where there is a choice, what needs no weights. There is no node for face meshes.
PREPROCESSOR_OF_TYPE: Mapping[str, str] = {
    "canny": "CannyEdgePreprocessor",
    "depth": "MiDaS-DepthMapPreprocessor",
    "hed": "HEDPreprocessor",
    "mlsd": "M-LSDPreprocessor",
    "normal": "BAE-NormalMapPreprocessor",
    "normalbae": "BAE-NormalMapPreprocessor",
    "openpose": "OpenposePreprocessor",
    "scribble": "Scribble_XDoG_Preprocessor",
    "segmentation": "OneFormer-ADE20K-SemSegPreprocessor",
    "inpaint": "InpaintPreprocessor",
    "softedge": "PiDiNetPreprocessor",
    "lineart": "LineArtPreprocessor",
    "shuffle": "ShufflePreprocessor",
    "tile": "TilePreprocessor",
    "face_detector": "MediaPipe-FaceMeshPreprocessor",
    "qrcode": AS_GIVEN,
    "blur": "TTPlanet_TileSimple_Preprocessor",
    "pose": "DWPreprocessor",
    "gray": "ImageLuminanceDetector",
    "low_quality": "TilePreprocessor",
}
