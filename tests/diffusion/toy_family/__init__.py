"""A model family of a few hundred parameters: all that a new one needs, in one folder.

Its network mixes each latent pixel with the mean of the prompt's letters and the time. The latents
of `FAMILY` are pictures, those of `VIDEO` have a time axis.
"""
