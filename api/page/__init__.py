"""The built-in page: runs workflows from a browser, without a build step or another host."""
