"""How many replicas are thought to be idle, which says into how many parts a batch goes."""

from deployments.app import sampler_replicas
from deployments.config import AppConfig, SamplerConfig

POOL = SamplerConfig(max_replicas=3)


def test_the_local_profile_has_one_sampler() -> None:
    assert sampler_replicas(AppConfig(sampler=POOL)) == {"": 1}


def test_in_a_cluster_the_pool_and_the_pinned_samplers_have_their_own_numbers() -> None:
    pinned = {"a.safetensors": SamplerConfig(max_replicas=2)}
    config = AppConfig(profile="cluster", sampler=POOL, pinned=pinned)
    assert sampler_replicas(config) == {"": 3, "a.safetensors": 2}
