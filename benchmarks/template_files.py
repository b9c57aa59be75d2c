"""What the official templates' model files are, by their names, where they are not read here.

A name tells no more than its author meant; posting a template with files tells the rest.
"""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatch

# The first that fits a file's name, in small letters and without its folders.
UNSERVED_FAMILIES: tuple[tuple[str, str], ...] = (
    ("hidream*", "HiDream"),
    ("hunyuan*3d*", "Hunyuan3D"),
    ("hunyuanvideo1.5*", "HunyuanVideo 1.5"),
    ("hunyuan_video*", "HunyuanVideo"),
    ("ltx-2*", "LTX-2"),
    ("ltx2*", "LTX-2"),
    ("mochi*", "Mochi"),
    ("ace_step*", "ACE-Step"),
    ("acestep*", "ACE-Step"),
    ("stable-audio*", "Stable Audio"),
    ("stable_audio*", "Stable Audio"),
    ("krea2*", "Krea 2"),
    ("minimax*", "MiniMax"),
    ("qwen_image_2.1*", "Qwen-Image 2.1"),
    ("qwen_image_2_1*", "Qwen-Image 2.1"),
    ("flux-3*", "Flux.3"),
    ("flux3*", "Flux.3"),
    ("kandinsky5*", "Kandinsky 5"),
    ("seedvr2*", "SeedVR2"),
    ("ernie-image*", "Ernie-Image"),
    ("newbie*", "NewBie"),
    ("ovis*", "Ovis-Image"),
    ("longcat*", "LongCat-Image"),
    ("lens*", "Lens"),
    ("boogu*", "Boogu-Image"),
    ("pixeldit*", "PixelDiT"),
    ("ideogram*", "Ideogram 4"),
    ("mage*", "Mage-Flow"),
    ("moss*", "MOSS"),
    ("fibo*", "Fibo"),
    ("joyai*", "JoyImage"),
    ("capybara*", "HunyuanVideo 1.5"),
    ("gemma4*", "Gemma 4"),
    ("gemma_4*", "Gemma 4"),
    ("qwen3.5*", "Qwen3.5"),
    ("qwen3_5*", "Qwen3.5"),
)


def families_missing(names: Iterable[str]) -> set[str]:
    """The families of files that nothing here reads."""
    return set(_found(names, UNSERVED_FAMILIES))


def _found(names: Iterable[str], table: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name in names:
        base = name.replace("\\", "/").rpartition("/")[2].lower()
        yield from [meant for pattern, meant in table if fnmatch(base, pattern)][:1]
