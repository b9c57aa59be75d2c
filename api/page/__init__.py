"""The page of our own: workflows run from a browser, without a build step or another host."""
