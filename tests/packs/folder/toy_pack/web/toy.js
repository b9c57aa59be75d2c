// A script of a pack for the editor.
