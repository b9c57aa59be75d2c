"""The overlays of cluster/kubernetes: what Kubernetes, KubeRay and the application would refuse."""

import gzip
import json
import re
import shutil
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import RayActorOptionsSchema, ServeDeploySchema

from api.metrics import health
from deployments import node_models
from deployments.config import AppConfig, Size
from deployments.settings import Settings
from tests.kubernetes.kustomize import render

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "cluster" / "kubernetes"
OVERLAYS = ["cpu", "one_gpu", "gpu_pool", "gpu_pool_node_disks"]
SCHEMA = ROOT / "tests" / "data" / "kubernetes" / "rayservice_v1.json.gz"
CARD_BYTES = 80e9  # what gpu_pool asks of a GPU
UNITS = {"": 1, "m": 1e-3, "Mi": 2**20, "Gi": 2**30}
GPU = "nvidia.com/gpu"
STAGES = "encoder", "preprocessor", "sampler", "upscaler", "output"
# Of the secret, what others than the application read.
OTHERS_READ = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "RAY_REDIS_PASSWORD"}


def quantity(text: str) -> float:
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", text)
    assert found
    return float(found[1]) * UNITS[found[2]]


def strict(schema: Any) -> Any:
    """The schema with unknown fields refused, which an API server would drop."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: strict(one) for name, one in schema.items()}
    if isinstance(inner.get("properties"), dict) and "type" in inner:
        inner.setdefault("additionalProperties", False)
    return inner


class Overlay:
    """What an overlay applies."""

    def __init__(self, name: str) -> None:
        self.objects = render(FOLDER / name)
        self.name = name
        (self.service,) = self.of("RayService")
        self.cluster = self.service["spec"]["rayClusterConfig"]
        self.groups = self.cluster["workerGroupSpecs"]
        self.serve = yaml.safe_load(self.service["spec"]["serveConfigV2"])
        (self.application,) = self.serve["applications"]
        self.config = AppConfig.model_validate(self.application["args"])

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.objects if one["kind"] == kind]

    def names(self, kind: str) -> set[str]:
        return {one["metadata"]["name"] for one in self.of(kind)}

    def pods(self) -> Iterator[dict[str, Any]]:
        for group in (self.cluster["headGroupSpec"], *self.groups):
            yield group["template"]["spec"]

    def containers(self) -> Iterator[dict[str, Any]]:
        for pod in self.pods():
            yield from pod["containers"]

    @property
    def serve_file(self) -> Path:
        """What its application was read from: its own, or that of the overlay below."""
        files = (FOLDER / self.name / "serve_config.yaml", FOLDER / "gpu_pool/serve_config.yaml")
        return next(file for file in files if file.exists())

    def sizes(self) -> dict[str, Size]:
        """Of what has replicas of its own."""
        if self.config.profile == "local":
            return {"router": self.config.router, "sampler": self.config.sampler}
        of_stages = {name: getattr(self.config, name) for name in STAGES}
        return {"router": self.config.router, **of_stages, **self.config.pinned}


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> Overlay:
    return Overlay(request.param)


@pytest.fixture(scope="module")
def schema() -> Any:
    return strict(json.loads(gzip.decompress(SCHEMA.read_bytes())))


def problems(schema: Any, value: Any) -> list[str]:
    errors = Draft202012Validator(schema).iter_errors(value)
    return [f"{error.json_path}: {error.message[:200]}" for error in errors]


def test_the_manifests_are_what_kuberay_s_schema_allows(overlay: Overlay, schema: Any) -> None:
    service = overlay.service | {"metadata": {}}
    assert problems(schema, service) == []
    spec = schema["properties"]["spec"]["properties"]["rayClusterConfig"]["properties"]
    pod = spec["headGroupSpec"]["properties"]["template"]["properties"]["spec"]["properties"]
    claim = pod["volumes"]["items"]["properties"]["ephemeral"]["properties"]
    claim = claim["volumeClaimTemplate"]["properties"]["spec"]
    for one in overlay.of("PersistentVolumeClaim"):
        assert problems(claim, one["spec"]) == []
    assert {one["kind"] for one in overlay.objects} == {
        "ConfigMap",
        "PersistentVolumeClaim",
        "RayService",
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("rayClusterConfig.enableInTreeScaling", True),
        ("rayClusterConfig.autoscalerOptions.upscalingMode", "Quick"),
        ("rayClusterConfig.workerGroupSpecs", [{"groupName": "gpu"}]),
        ("serveConfigV2", {}),
    ],
)
def test_the_schema_finds_mistakes(schema: Any, path: str, value: Any) -> None:
    spec = Overlay("cpu").service["spec"]
    *way, last = path.split(".")
    at = spec
    for name in way:
        at = at[name]
    at[last] = value
    service = {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {}, "spec": spec}
    assert problems(schema, service) != []


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_kustomize_makes_of_an_overlay_what_our_tests_look_at(overlay: Overlay) -> None:
    command = ["kubectl", "kustomize", str(FOLDER / overlay.name)]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def by_name(objects: list[Any]) -> dict[str, Any]:
        return {f"{one['kind']} {one['metadata']['name']}": one for one in objects}

    assert by_name(list(yaml.safe_load_all(made))) == by_name(overlay.objects)


def test_the_application_is_the_overlay_s_own_file_and_serve_takes_it(overlay: Overlay) -> None:
    assert overlay.service["spec"]["serveConfigV2"] == overlay.serve_file.read_text()
    ServeDeploySchema.model_validate(overlay.serve)
    laptop = yaml.safe_load((ROOT / "serve_config.yaml").read_text())["applications"][0]
    same = "name", "route_prefix", "import_path"
    assert [laptop[key] for key in same] == [overlay.application[key] for key in same]


def test_what_is_referred_to_is_there(overlay: Overlay) -> None:
    example = FOLDER / "gpu_pool" / "secrets.env.example"
    lines = [line for line in example.read_text().splitlines() if not line.startswith("#")]
    secrets = {"comfyray-secrets": {line.partition("=")[0] for line in lines}}
    for pod in overlay.pods():
        volumes = {volume["name"] for volume in pod.get("volumes", ())}
        claims = [v.get("persistentVolumeClaim", {}) for v in pod.get("volumes", ())]
        named = {claim["claimName"] for claim in claims if claim}
        assert named <= overlay.names("PersistentVolumeClaim")
        mounted = {m["name"] for c in pod["containers"] for m in c.get("volumeMounts", ())}
        assert mounted == volumes
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            assert {mount["name"] for mount in container.get("volumeMounts", ())} <= volumes
            for source in container["envFrom"]:
                if "configMapRef" in source:
                    assert source["configMapRef"]["name"] in overlay.names("ConfigMap")
                else:
                    assert source["secretRef"]["name"] in secrets
    password = overlay.cluster.get("gcsFaultToleranceOptions", {}).get("redisPassword")
    if password:
        key = password["valueFrom"]["secretKeyRef"]
        assert key["key"] in secrets[key["name"]]
    known = {f"COMFYRAY_{name.upper()}" for name in Settings.model_fields}
    settings = {key for one in overlay.of("ConfigMap") for key in one["data"]}
    assert settings | secrets["comfyray-secrets"] <= known | OTHERS_READ
    assert len({group["groupName"] for group in overlay.groups}) == len(overlay.groups)


def test_models_and_data_lie_where_the_image_looks(overlay: Overlay) -> None:
    image = (ROOT / "cluster" / "Containerfile").read_text()
    for group in overlay.groups:
        (container,) = group["template"]["spec"]["containers"]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert f"COMFYRAY_MODELS_DIR={mounts['models']}" in image
        assert f"COMFYRAY_DATA_DIR={mounts['data']}" in image


def test_probes_and_hooks_lead_to_something(overlay: Overlay) -> None:
    routes = {getattr(route, "path", "") for route in health.router.routes}
    port = overlay.serve["http_options"]["port"]
    for group in overlay.groups:
        (container,) = group["template"]["spec"]["containers"]
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        probe = container["readinessProbe"]["httpGet"]
        assert probe["path"] in routes
        assert ports[probe["port"]] == port
        hooks = {one["name"]: one["value"] for one in container["env"]}
        module, _, name = hooks["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"].partition(":")
        assert callable(getattr(import_module(module), name))


def test_the_image_is_this_version_s(overlay: Overlay) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    images = {container["image"] for container in overlay.containers()}
    images |= {one["image"] for pod in overlay.pods() for one in pod.get("initContainers", ())}
    assert images == {f"comfyray:{project['version']}"}
    pinned = (ROOT / "requirements.lock").read_text()
    assert f"\nray=={overlay.cluster['rayVersion']} " in pinned


def test_every_deployment_finds_nodes_and_none_of_them_is_the_head(overlay: Overlay) -> None:
    labels = [group["labels"] for group in overlay.groups]
    for name, size in overlay.sizes().items():
        wanted = size.node_labels or overlay.config.node_labels
        on = [have for have in labels if wanted and wanted.items() <= have.items()]
        assert on, name
        if size.num_gpus:
            gpus = [gpus_of(group) for group in overlay.groups if group["labels"] in on]
            assert max(gpus) > 0, name
    assert "labels" not in overlay.cluster["headGroupSpec"]


def test_a_deployment_is_told_the_labels_of_its_nodes() -> None:
    labels = {"comfyray.io/role": "worker"}
    told = Size().options(has_gpu=False, node_labels=labels)["ray_actor_options"]
    own = Size(node_labels={"zone": "a"}).options(has_gpu=False, node_labels=labels)
    assert told == {"num_cpus": 0, "label_selector": labels}
    assert own["ray_actor_options"]["label_selector"] == {"zone": "a"}
    assert "label_selector" not in Size().options(has_gpu=True, node_labels={})["ray_actor_options"]
    RayActorOptionsSchema.model_validate(told)


def test_a_deployment_is_told_how_it_scales() -> None:
    size = Size(min_replicas=0, max_replicas=3, upscale_delay_s=2, max_replicas_per_node=1)
    told = size.options(has_gpu=False, node_labels={})
    scaling = AutoscalingConfig.model_validate(told["autoscaling_config"])
    assert (scaling.min_replicas, scaling.max_replicas, scaling.upscale_delay_s) == (0, 3, 2)
    assert scaling.downscale_to_zero_delay_s == 900
    assert told["max_replicas_per_node"] == 1
    fixed = Size(min_replicas=2, max_replicas=2).options(has_gpu=False, node_labels={})
    assert fixed["num_replicas"] == 2
    assert not {"autoscaling_config", "max_replicas_per_node"} & fixed.keys()


def gpus_of(group: dict[str, Any]) -> int:
    (container,) = group["template"]["spec"]["containers"]
    return int(container["resources"]["requests"].get(GPU, "0"))


def test_models_on_node_disks_are_there_before_a_node_serves() -> None:
    overlay = Overlay("gpu_pool_node_disks")
    for group in overlay.groups:
        pod = group["template"]["spec"]
        (fetch,) = pod["initContainers"]
        _, _, module, *rest = fetch["command"]
        assert module == node_models.__name__
        asked = node_models.arguments([*rest, *fetch["args"]])
        assert {"name": "models", "mountPath": str(asked.folder)} in fetch["volumeMounts"]


def test_the_nodes_have_what_all_replicas_take(overlay: Overlay) -> None:
    least: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for group in overlay.groups:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        least["have"] += group["minReplicas"] * gpus_of(group)
        most["have"] += group["maxReplicas"] * gpus_of(group)
    has_gpus = overlay.config.device == "cuda"
    for size in overlay.sizes().values():
        least["want"] += size.min_replicas * round(size.num_gpus * 100)
        most["want"] += size.max_replicas * round(size.num_gpus * 100)
    if has_gpus:
        assert 0 < least["want"] <= least["have"] * 100
        assert most["want"] <= most["have"] * 100
    for container in overlay.containers():
        asked, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert asked["memory"] == limits["memory"]
        assert asked.get(GPU) == limits.get(GPU)


def test_weights_fit_into_what_they_are_kept_in(overlay: Overlay) -> None:
    config = overlay.config
    weights = config.encoder.memory_bytes + config.encoder.vision_bytes
    weights += config.preprocessor.memory_bytes + config.upscaler.memory_bytes
    weights += config.sampler.memory_bytes
    (first, *_) = overlay.groups
    memory = quantity(first["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"])
    if config.device == "cpu":
        assert weights <= memory * 0.75  # the rest for steps, pictures and Ray
    elif config.profile == "local":
        assert weights <= CARD_BYTES * 0.75
    else:
        assert fullest(list(overlay.sizes().values())) <= CARD_BYTES * 0.9


def fullest(sizes: list[Size]) -> float:
    """The weights on the one GPU that has most of them, however Ray puts replicas together."""
    most = [0.0] * 101  # by the hundredths of the GPU that are taken
    for size in sizes:
        share = round(size.num_gpus * 100)
        held = getattr(size, "memory_bytes", 0) + getattr(size, "vision_bytes", 0)
        for _ in range(size.max_replicas if share else 0):
            for taken in range(100, share - 1, -1):
                most[taken] = max(most[taken], most[taken - share] + held)
    return max(most)
