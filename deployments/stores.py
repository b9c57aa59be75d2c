"""Opens the router's stores: database, outputs, uploads."""

from pathlib import Path

from api.jobs.service import Stores
from api.jobs.webhooks import Signer
from api.models.intake import ModelIntake, Source
from deployments.config import ModelsConfig, RouterConfig
from deployments.more_families import marks_with
from deployments.settings import Settings
from storage.assets import Assets
from storage.counters import Counters
from storage.database import Database
from storage.disk_quota import DiskQuota
from storage.disk_room import DiskRoom
from storage.encryption import Cipher, parse_keys
from storage.fetch import Fetcher, FetchLimits
from storage.files import Files
from storage.inputs import Inputs
from storage.jobs.charges import Prices
from storage.jobs.earlier_outputs import EarlierOutputs
from storage.jobs.job_charges import JobCharges
from storage.jobs.outbox import Outbox
from storage.jobs.output_names import OutputNames
from storage.jobs.prompts import Prompts
from storage.jobs.records import JobRecords
from storage.local_files import LocalFiles
from storage.models.checks import ModelChecks
from storage.models.extra_paths import read_extra_paths
from storage.models.header_reader import HeaderReader
from storage.models.library import ModelLibrary
from storage.models.owned import OwnedModels, Quota
from storage.models.store import ModelStore
from storage.models.uploads import ModelUploads, UploadTerms
from storage.outputs import OutputStore
from storage.owner_disk import OwnerDisk
from storage.picture_limits import PictureLimits
from storage.picture_processes.pool import PictureProcesses, PoolLimits
from storage.private_folder import private_folder
from storage.sealing import Sealer
from storage.signing import UrlSigner, load_key
from storage.uploads import UploadLimits, Uploads
from storage.user_data import UserData
from storage.user_settings import UserSettings

HEADERS_AT_ONCE = 1  # by one router; two would share its interpreter, and answers would wait


def open_stores(settings: Settings, config: RouterConfig) -> Stores:
    """The stores of a data folder, which is made where it is missing, and nobody else's to read."""
    root = private_folder(settings.data_dir.resolve())
    signer = UrlSigner(load_key(root / "url_key"))
    files = open_files(settings, root)
    database = Database(database_url(settings, root))
    disk = OwnerDisk(database, DiskQuota(config.disk.max_bytes, config.disk.of_owners))
    outputs = OutputStore(files, signer, retention_s=config.retention_s, disk=disk)
    outbox = Outbox(database)
    charges = JobCharges(Prices(**config.prices.model_dump()))
    names = OutputNames(database)
    jobs = JobRecords(database, [outbox, charges, names])
    fetcher = Fetcher(FetchLimits(allowed_hosts=allowed_hosts(settings)))
    limits = UploadLimits(config.max_upload_bytes, kept_s=config.upload_retention_s)
    earlier = EarlierOutputs(jobs, outputs, names)
    pictures = PictureProcesses(
        PictureLimits(config.max_input_pixels, config.max_input_frames),
        PoolLimits(config.picture_processes),
    )
    uploads = Uploads(files, earlier, limits, pictures, disk)
    return Stores(
        database=database,
        jobs=jobs,
        outbox=outbox,
        outputs=outputs,
        uploads=uploads,
        inputs=Inputs(uploads, fetcher, earlier),
        fetcher=fetcher,
        request_cipher=Cipher(encryption_keys(settings, root), "job requests"),
        webhook_signer=webhook_signer(settings, root),
        models=open_models(settings, config.models, database, disk),
        charges=charges,
        disk=disk,
        user_settings=UserSettings(database),
        user_data=UserData(files),
        counters=Counters(database),
        prompts=Prompts(database),
        assets=Assets(database, uploads),
    )


def open_models(
    settings: Settings, config: ModelsConfig, database: Database, disk: OwnerDisk
) -> ModelIntake:
    """The models there are, and the way in for owners' own."""
    private = settings.private_models_dir
    extra = read_extra_paths(settings.extra_model_paths)
    library = ModelLibrary(settings.models_dir.resolve(), private, extra)
    quota = Quota(config.max_models, config.max_total_bytes)
    terms = UploadTerms(config.max_bytes, config.max_uploads, config.upload_kept_s)
    room = DiskRoom(private, config.min_free_bytes)
    limits = FetchLimits(
        most_bytes=config.max_bytes,
        total_s=config.fetch_timeout_s,
        allowed_hosts=allowed_hosts(settings),
    )
    reader = HeaderReader(config.header_limits, at_once=HEADERS_AT_ONCE)
    families = marks_with(config.families)
    return ModelIntake(
        library,
        ModelChecks(library, reader, families),
        ModelStore(private, OwnedModels(database, quota), reader, families),
        ModelUploads(private / ".uploads", database, terms, room),
        Source(Fetcher(limits), config.allowed_hosts),
        disk=disk,
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


def open_files(settings: Settings, root: Path) -> Files:
    """The bucket of the settings, or the data folder, encrypted where a key is set.

    Raises:
        FileStoreError: the bucket cannot be used.
    """
    if settings.s3_bucket is None:
        key = settings.encryption_key
        return LocalFiles(root, Sealer(parse_keys(key.get_secret_value())) if key else None)
    from storage.s3 import Bucket, S3Files  # noqa: PLC0415 - boto3 takes long to import

    bucket = Bucket(
        settings.s3_bucket,
        settings.s3_endpoint,
        settings.s3_region,
        settings.s3_prefix,
        settings.s3_encryption,
        settings.s3_kms_key,
        link_s=settings.s3_link_s,
    )
    files = S3Files(bucket)
    files.check()
    return files
