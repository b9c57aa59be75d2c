"""How files of the toy families are recognised."""

from graph.family_marks import Family, has

MARKS = Family("toy", "Toy", networks=(has("toy_mix"),), served=True)
