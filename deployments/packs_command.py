"""`make packs`: lists the custom node packs, and whether they are allowed and load."""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from deployments.config import AppConfig, PacksConfig
from deployments.pack_host import PackSite, starting_of
from deployments.settings import Settings
from deployments.site import Site
from packs.allowed import FoundPack, copy_allowed, found_packs
from packs.confinement.confine import missing
from packs.errors import CallLostError, PackEndedError, PackRefusedError
from packs.process import PackProcess
from storage.models.extra_paths import read_extra_paths

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each pack; 1 where one that is allowed does not load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=ROOT / "serve_config.yaml")
    parser.add_argument("--no-load", action="store_true", help="do not try to load them")
    given = parser.parse_args(arguments)
    settings = Settings()
    if settings.packs_dir is None:
        print("COMFYRAY_PACKS_DIR is not set: there are no packs.")
        return 0
    packs = read_config(given.config).packs
    found = list(found_packs(settings.packs_dir, {n: one.hash for n, one in packs.allow.items()}))
    lines, whole = [], True
    for one in found:
        said = one.problem
        if one.allowed and not given.no_load:
            loaded, said = asyncio.run(tried(one.name, packs, settings))
            whole = whole and loaded
        lines.append((one, said or "allowed"))
    print(f"Packs in {settings.packs_dir}:")
    print("\n".join(printed_lines(lines)))
    if lacking := missing():
        print(f"This machine has no {', no '.join(lacking)}: containment is not whole.")
    return 0 if whole else 1


def printed_lines(lines: Iterable[tuple[FoundPack, str]]) -> Iterable[str]:
    """What is printed; for a pack that is not allowed also what would allow it."""
    for one, said in lines:
        state = "allowed " if one.allowed else "refused "
        yield f"  {state} {one.name}: {said}"
        if not one.allowed and one.hash:
            yield f"           to allow it:  {one.name}: {{hash: {one.hash}}}"


async def tried(name: str, packs: PacksConfig, settings: Settings) -> tuple[bool, str]:
    """Whether a pack loads, and what its nodes are or why it does not."""
    site = Site(
        settings.models_dir.resolve(),
        settings.private_models_dir,
        extra_folders=read_extra_paths(settings.extra_model_paths),
    )
    assert settings.packs_dir
    with TemporaryDirectory() as scratch:
        where = PackSite(
            settings.packs_dir.resolve(), Path(scratch), packs.containment == "required"
        )
        starting = starting_of(name, packs.allow[name], where, site)
        own = Path(scratch)
        folder = copy_allowed(where.folder, name, packs.allow[name].hash, own)
        process = PackProcess(replace(starting, folder=folder, scratch=own))
        try:
            await process.start()
            message = await process.call("describe", {}, deadline_s=packs.allow[name].describe_s)
            return True, summary(message.said)
        except (PackRefusedError, PackEndedError, CallLostError) as error:
            return False, str(error)
        finally:
            process.end("was tried")


def summary(said: Mapping[str, Any]) -> str:
    """How many nodes a pack has, and which cannot run here."""
    nodes = said.get("nodes") or []
    parts = [f"{len(nodes)} node types"]
    if patching := [one["entry"]["name"] for one in nodes if one.get("patches")]:
        parts.append(f"{len(patching)} that change models and are refused")
    if bad := said.get("undescribed"):
        parts.append(f"{len(bad)} that cannot be described: {', '.join(sorted(bad)[:5])}")
    return ", ".join(parts)


def read_config(file: Path) -> AppConfig:
    """The configuration of a serve_config.yaml."""
    (application,) = yaml.safe_load(file.read_text())["applications"]
    return AppConfig.model_validate(application.get("args") or {})


if __name__ == "__main__":
    sys.exit(main())
