"""comfy.options: whether the command line is read. It is not."""

args_parsing = False


def enable_args_parsing(enable: bool = True) -> None:
    del enable
