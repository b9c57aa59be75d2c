"""Opens what the router keeps: the database, outputs, uploads."""

from pathlib import Path

from api.service import Stores
from api.webhooks import Signer
from deployments.config import RouterConfig
from deployments.settings import Settings
from storage.database import Database
from storage.encryption import Cipher, parse_keys
from storage.fetch import Fetcher, FetchLimits
from storage.inputs import Inputs
from storage.jobs import JobRecords
from storage.outbox import Outbox
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
    outbox = Outbox(database)
    jobs = JobRecords(database, [outbox])
    fetcher = Fetcher(FetchLimits(allowed_hosts=allowed_hosts(settings)))
    limits = UploadLimits(most_bytes=config.max_upload_bytes)
    uploads = Uploads(root / "uploads", outputs, limits)
    return Stores(
        database=database,
        jobs=jobs,
        outbox=outbox,
        outputs=outputs,
        uploads=uploads,
        inputs=Inputs(uploads, fetcher, jobs, outputs),
        fetcher=fetcher,
        request_cipher=Cipher(encryption_keys(settings, root), "job requests"),
        webhook_signer=webhook_signer(settings, root),
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


def webhook_signer(settings: Settings, root: Path) -> Signer:
    """With the setting's secret, or one that is made in the data folder at first use."""
    if settings.webhook_secret is not None:
        return Signer.from_text(settings.webhook_secret.get_secret_value())
    return Signer(load_key(root / "webhook_secret"))


def allowed_hosts(settings: Settings) -> frozenset[str]:
    hosts = (host.strip().lower() for host in settings.allowed_hosts.split(","))
    return frozenset(filter(None, hosts))
