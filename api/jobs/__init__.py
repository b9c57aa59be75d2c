"""Jobs: accepting, queueing, running, reporting and ending them."""
