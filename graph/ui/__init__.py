"""The editor's file format (UI format), and its conversion to what runs."""

from graph.ui.convert import convert_ui

__all__ = ["convert_ui"]
