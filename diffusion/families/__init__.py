"""Model families: one folder each, with all that is special to it.

Nothing outside this package and `graph/families.py` asks of which family a model is. To add one:

1. `graph/families.py`: its name, its title and the marks of its files.
2. A folder here with `family.py`, which ends in a `Family` (see `family.py` in this folder). Copy
   `sd3/` for a transformer or `sd/` for a U-Net; of what they hold, each is one file:
   - `shapes.py`: the network's shape, read from the names and shapes of a file's tensors;
   - `loading.py`: the `LatentFormat` (channels, scale, pixels and frames that a latent stands for,
     colours of previews), the `Parameterization` with its shift, and the module filled from a file;
   - `network.py`: how the module is called. A denoiser answers many rows in one call
     (`diffusion/dit/denoiser.py` for transformers). Latents with a time axis are [B, C, T, h, w],
     and a row that may not be cut is not `divisible`;
   - `conditions.py`: `embed` makes an `Embedding` of a condition: text, vector, channels beside the
     latent, and what a subclass adds, which says in `cut` how it is divided among the rows of a
     batch. A transformer's `DitEmbedding` has places for references, for a time of its own for each
     frame or token (`time_shares`), and, by name, for whatever else its network reads (`beside`);
   - `text.py`: a `TextEncoding`: the networks that read prompts, how each is read, how their states
     are joined. A new text encoder is one file of `diffusion/text/` with its `TextNetwork`;
   - `pieces.py`, `weight_names.py`: how LoRA files call the weights;
   - `control.py`: its ControlNets, as `ControlKind`s; networks that add behind every block of the
     model (ComfyUI's model patches) are `PatchKind`s, as in `qwen_image/diffsynth.py`.
3. One line in `registry.py`.
4. Tests, and a case in `tests/parity`.

`tests/diffusion/toy_family` is the smallest family there is. It is served without lines in lists:
an operator may add families of other packages (`deployments/more_families.py`).
"""
