"""Options that nodes offer and stages accept, each declared once."""

from typing import Literal, TypeAlias

ScaleMethod: TypeAlias = Literal[
    "nearest-exact", "bilinear", "area", "bicubic", "bislerp", "lanczos"
]
ScaleCrop: TypeAlias = Literal["disabled", "center"]
Rotation: TypeAlias = Literal["none", "90 degrees", "180 degrees", "270 degrees"]
FlipMethod: TypeAlias = Literal["x-axis: vertically", "y-axis: horizontally"]
StitchDirection: TypeAlias = Literal["right", "down", "left", "up"]
SpacingColor: TypeAlias = Literal["white", "black", "red", "green", "blue"]
ClipInterpolation: TypeAlias = Literal[
    "LANCZOS", "BICUBIC", "HAMMING", "BILINEAR", "BOX", "NEAREST"
]
CropPosition: TypeAlias = Literal["top", "bottom", "left", "right", "center", "pad"]
PictureNoise: TypeAlias = Literal["fade", "dissolve", "gaussian", "shuffle"]
BlendMode: TypeAlias = Literal[
    "normal", "multiply", "screen", "overlay", "soft_light", "difference"
]
Dither: TypeAlias = Literal["none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16"]
MorphologyOperation: TypeAlias = Literal[
    "erode", "dilate", "open", "close", "gradient", "bottom_hat", "top_hat"
]
Channel: TypeAlias = Literal["alpha", "red", "green", "blue"]
MaskOperation: TypeAlias = Literal["multiply", "add", "subtract", "and", "or", "xor"]
ColorMatching: TypeAlias = Literal["mkl", "hm", "reinhard", "mvgd", "hm-mvgd-hm", "hm-mkl-hm"]
PadMode: TypeAlias = Literal["edge", "edge_pixel", "color", "pillarbox_blur"]
PorterDuffMode: TypeAlias = Literal[
    "ADD",
    "CLEAR",
    "DARKEN",
    "DST",
    "DST_ATOP",
    "DST_IN",
    "DST_OUT",
    "DST_OVER",
    "LIGHTEN",
    "MULTIPLY",
    "OVERLAY",
    "SCREEN",
    "SRC",
    "SRC_ATOP",
    "SRC_IN",
    "SRC_OUT",
    "SRC_OVER",
    "XOR",
]
SigmaSpacing: TypeAlias = Literal["linear", "cosine", "sine"]
BoxColor: TypeAlias = Literal["white", "black"]
TextEncoderName: TypeAlias = Literal["l", "g", "h", "t5xxl"]
LatentAxis: TypeAlias = Literal["x", "y", "t"]
SeedBehavior: TypeAlias = Literal["random", "fixed"]
