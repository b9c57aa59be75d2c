"""The step engine, which batches the steps of many requests, and the sampler stage."""
