"""Opens what the router keeps: job records, outputs, uploads."""

from api.service import Stores
from deployments.config import RouterConfig
from deployments.settings import Settings
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
    jobs = JobRecords(f"sqlite+aiosqlite:///{root / 'comfyray.sqlite'}")
    fetcher = Fetcher()
    limits = UploadLimits(most_bytes=config.max_upload_bytes)
    uploads = Uploads(root / "uploads", outputs, limits)
    return Stores(jobs, outputs, uploads, Inputs(uploads, fetcher, jobs, outputs), fetcher)
