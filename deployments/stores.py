"""Opens what the router keeps: the database, outputs, uploads."""

from pathlib import Path

from api.service import Stores
from deployments.config import RouterConfig
from deployments.settings import Settings
from storage.database import Database
from storage.encryption import parse_keys
from storage.fetch import Fetcher
from storage.inputs import Inputs
from storage.jobs import JobRecords
from storage.outputs import OutputStore
from storage.signing import UrlSigner, load_key
from storage.uploads import UploadLimits, Uploads


def open_stores(settings: Settings, config: RouterConfig) -> Stores:
    """The stores of a data folder, which is made where it is missing."""
    root = settings.data_dir.resolve()
    root.mkdir(parents=True, exist_ok=True)
    signer = UrlSigner(load_key(root / "url_key"))
    outputs = OutputStore(root / "outputs", signer, retention_s=config.retention_s)
    database = Database(database_url(settings, root))
    jobs = JobRecords(database)
    fetcher = Fetcher()
    limits = UploadLimits(most_bytes=config.max_upload_bytes)
    uploads = Uploads(root / "uploads", outputs, limits)
    return Stores(
        database, jobs, outputs, uploads, Inputs(uploads, fetcher, jobs, outputs), fetcher
    )


def database_url(settings: Settings, root: Path) -> str:
    """The setting, or a file in the data folder."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return f"sqlite+aiosqlite:///{root / 'comfyray.sqlite'}"


def encryption_keys(settings: Settings, root: Path) -> tuple[bytes, ...]:
    """The setting's, or one that is made in the data folder at first use."""
    if settings.encryption_key is not None:
        return parse_keys(settings.encryption_key.get_secret_value())
    return (load_key(root / "encryption_key"),)
