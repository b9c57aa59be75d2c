"""Turns library exceptions into one-line reasons for callers.

Callers know workflows and files, not the types, classes and switches of what computes them here;
the log has the rest.
"""

import re

LONGEST_REASON = 300
UNFIT_FILE = "what it holds is not what this network takes"
UNEXPECTED = "it was given a value that it cannot work with"
OUT_OF_MEMORY = "it needs more memory than there is"
JARGON = re.compile(
    r"NoneType|traceback|\btorch\b|\btensors?\b.*\bdevices?\b|\bdict\b|\btuple\b|\bndarray\b"
    r"|\bnumpy\b|weights_only|pickle|state_dict|object has no|object is not|positional argument"
    r"|keyword argument|not subscriptable|not iterable|unhashable|list index|__\w+__|<class"
    r"|<built-in|\bself\b|0x[0-9a-f]{4,}|\bat::|\bc10\b|PYTORCH_|site-packages|File \"|unpack"
    r"|<locals>",
    re.IGNORECASE,
)
MEMORY = re.compile(r"out of memory|can't allocate memory|cannot allocate", re.IGNORECASE)
SIZES = re.compile(r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\)")
NO_FITTING_SIZES = "its inputs have sizes that do not fit each other ({} and {})"


def plain_reason(error: BaseException, otherwise: str = UNEXPECTED) -> str:
    """Why something failed, without a full stop; `otherwise` where the error has no plain words."""
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, MemoryError) or MEMORY.search(text):
        return OUT_OF_MEMORY
    if sizes := SIZES.search(text):
        return NO_FITTING_SIZES.format(*sizes.groups())
    if not text or isinstance(error, KeyError | AttributeError | NameError) or JARGON.search(text):
        return otherwise
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= LONGEST_REASON else line[:LONGEST_REASON] + "..."
