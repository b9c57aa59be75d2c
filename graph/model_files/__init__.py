"""Reads the headers of model files: names, shapes and dtypes of tensors, without any tensor."""
