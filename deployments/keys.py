"""Administers API keys from the command line; this is how the first key is made.

    python -m deployments.keys create --owner acme --rate 60/minute --concurrency 4 --budget 10
    python -m deployments.keys list
    python -m deployments.keys change ID --budget 25
    python -m deployments.keys revoke ID

Works on the database that COMFYRAY_* names, whether the service runs or not.
"""

import argparse
import asyncio
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from api.errors import reasons
from api.keys.schemas import Key, KeyChange, NewKey
from deployments.settings import Settings
from deployments.stores import database_url
from graph.errors import ServiceError
from storage.database import Database
from storage.keys import Keys

FROM_NOW = re.compile(r"(\d{1,5})([dh])")
NONE = "none"
COLUMNS = ("id", "owner", "name", "scopes", "expires_at", "rate", "budget", "spent", "revoked_at")


def expiry(text: str) -> str:
    """ "90d" or "12h" from now, or a date and time, as ISO 8601."""
    if found := FROM_NOW.fullmatch(text):
        span = timedelta(days=int(found[1])) if found[2] == "d" else timedelta(hours=int(found[1]))
        return (datetime.now(UTC) + span).isoformat()
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        problem = f"expected 90d, 12h or a date like 2030-01-31, got {text!r}"
        raise argparse.ArgumentTypeError(problem) from error
    return (time if time.tzinfo else time.astimezone()).isoformat()


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    terms = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    terms.add_argument("--name", help="for people to tell keys apart")
    terms.add_argument("--scopes", type=lambda text: text.split(","), help="execute,read,models")
    terms.add_argument("--expires", dest="expires_at", type=expiry, help="90d, 12h or a date")
    terms.add_argument("--rate", help="requests that start or change something: 60/minute")
    terms.add_argument("--concurrency", help="jobs that wait or run at once")
    terms.add_argument("--budget", help="what its jobs may cost in all")
    parser = argparse.ArgumentParser(
        prog="python -m deployments.keys",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", parents=[terms], help="make a key and show it, once")
    create.add_argument("--owner", required=True, help="who has what it makes")
    listed = commands.add_parser("list", help="all keys, without their secrets")
    listed.add_argument("--owner", default=None, help="one owner's only")
    change = commands.add_parser(
        "change", parents=[terms], help=f"other terms; {NONE!r} takes a limit away"
    )
    change.add_argument("id")
    commands.add_parser("revoke", help="end a key now").add_argument("id")
    return parser.parse_args(given)


async def carried_out(keys: Keys, given: argparse.Namespace) -> str:
    """Do what the command says; gives what to print.

    Raises:
        ServiceError: it cannot be done.
    """
    if given.command == "create":
        wanted = NewKey.read(named(given))
        key, record = await keys.create(wanted.owner, wanted.terms())
        return f"{table([Key.of(record).model_dump()])}\n\nIts key, shown this once:\n{key}"
    if given.command == "list":
        records = await keys.list(given.owner)
        return table([Key.of(record).model_dump() for record in records])
    if given.command == "change":
        record = await keys.change(given.id, KeyChange.read(named(given)).given())
    else:
        record = await keys.revoke(given.id)
    return table([Key.of(record).model_dump()])


def named(given: argparse.Namespace) -> dict[str, Any]:
    """The terms of a command line as a request has them."""
    terms = {name: value for name, value in vars(given).items() if name not in {"command", "id"}}
    return {name: None if value == NONE else value for name, value in terms.items()}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as text in columns."""
    cells = [COLUMNS, *([_cell(row[name]) for name in COLUMNS] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


async def answer(given: argparse.Namespace, settings: Settings) -> str:
    """Open the database, do what the command says, and close it."""
    root = settings.data_dir.resolve()
    root.mkdir(parents=True, exist_ok=True)
    database = Database(database_url(settings, root))
    try:
        await database.open()
        return await carried_out(Keys(database), given)
    finally:
        await database.close()


def main() -> int:
    try:
        sys.stdout.write(asyncio.run(answer(arguments(), Settings())) + "\n")
    except ServiceError as error:
        for reason in reasons(error):
            said = f"{reason['input']}: {reason['expected']}" if "input" in reason else str(error)
            sys.stderr.write(said + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
