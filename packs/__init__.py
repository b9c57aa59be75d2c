"""The host for custom node packs: it runs them in processes of their own.

`wire` and `encoding` are the language of both ends, `process` starts and ends a process, `allowed`
says which packs may run. In the process `child` loads the pack and runs its nodes, `confinement`
takes away what it need not have, and `surface` is what it finds under ComfyUI's names.
"""
