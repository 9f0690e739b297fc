"""The MLflow database: its URI, its creation by one process at a time, its errors, and its paths after a move."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from mmae.core.errors import InputError, causes, one_line
from mmae.core.untrusted import without_password

SQLITE = "sqlite:///"
LOCK_SECONDS = 120  # creating the tables takes a few seconds
FOLDER, DATABASE = "mlflow", "mlflow.db"  # in a home folder
ARTIFACTS = "artifacts"  # folder next to the database
DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""Packages of the Python modules through which SQLAlchemy reaches a database."""
FOLDER_TAGS = ("mmae.run_dir", "mmae.survey")
"""Tags of a run with the path of a folder."""

logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # says that tables are created

_created: set[str] = set()  # databases whose tables this process has checked


def sqlite_uri(database: Path) -> str:
    """The URI of an SQLite file, in which SQLAlchemy decodes %XX and takes what follows a ? as options."""
    return SQLITE + re.sub("%(?=[0-9A-Fa-f]{2})", "%25", str(database)).replace("?", "%3F")


def sqlite_path(uri: str) -> Path | None:
    """The file of an SQLite URI; None for other URIs."""
    database = make_url(uri).database if uri.startswith(SQLITE) else None
    return Path(database) if database else None


def open_client(uri: str) -> MlflowClient:
    """A client of a tracking server or database.

    Creates the tables of an SQLite file that does not exist. If the file was moved or copied with its home folder,
    the paths in it are changed to the present ones, and a line says so.

    Raises:
        InputError: the server or database cannot be used.
    """
    with explained_errors(uri):
        database = sqlite_path(uri)
        if database is None or uri in _created:
            return MlflowClient(uri)
        with database_lock(uri):
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)  # creates the tables
            _remove_folder_of_escaped_name(uri, database)
            for old, new in follow_move(database):
                print(f"{database}: moved from {old} to {new}; the paths in it were changed.", flush=True)
        _created.add(uri)
        return client


def _remove_folder_of_escaped_name(uri: str, database: Path) -> None:
    """Remove the empty folder that MLflow creates for a URI with escaped characters, which it does not decode."""
    escaped = Path(uri.removeprefix(SQLITE)).parent
    if escaped != database.parent:
        with suppress(OSError):  # it is not empty, or absent
            os.removedirs(escaped)


@contextmanager
def database_lock(uri: str) -> Iterator[None]:
    """Hold the lock of an SQLite file; other URIs have none, because a server handles concurrent requests.

    Two processes that create the tables of one file at the same time fail in MLflow's migrations.

    Raises:
        InputError: another process holds the lock for minutes.
    """
    database = sqlite_path(uri)
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(database.with_name(f"{database.name}.lock"), timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(
            f"{lock.lock_file}: another process has held this lock for {LOCK_SECONDS} s. End that process, or wait."
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def explained_errors(uri: str) -> Iterator[None]:
    """Turn errors of MLflow and of its database into an InputError with one line."""
    where = f"MLflow at {without_password(uri)}"
    try:
        yield
    except MlflowException as error:
        raise InputError(f"{where}: {_sentence(error.message)} Check MLFLOW_TRACKING_URI.") from error
    except SQLAlchemyError as error:
        raise InputError(f"{where}: {_sentence(str(error))} Check MLFLOW_TRACKING_URI.") from error
    except ImportError as error:
        package = DRIVERS.get(error.name or "", error.name)
        raise InputError(f"{where}: its driver is not installed: pip install '{package}'.") from error


def tracking_error_behind(error: BaseException) -> InputError | None:
    """An explanation of an MlflowException behind an exception; None if there is none."""
    for cause in causes(error):
        if isinstance(cause, MlflowException):
            return InputError(f"MLflow: {_sentence(cause.message)} Check MLFLOW_TRACKING_URI and the server.")
    return None


def _sentence(text: str) -> str:
    """The first line of a message, with a full stop."""
    return f"{one_line(text.strip().splitlines()[0] if text.strip() else 'unknown error').rstrip('.')}."


def artifact_location(uri: str) -> str | None:
    """Where runs of an SQLite file store their artifacts; None: where the server decides.

    With a database and no server, MLflow would store artifacts in the current folder.
    """
    database = sqlite_path(uri)
    return None if database is None else (database.parent / ARTIFACTS).as_uri()


def follow_move(database: Path) -> list[tuple[Path, Path]]:
    """Change the paths in an SQLite file that was moved or copied to the present ones.

    MLflow stores artifact locations as absolute paths: after a move, runs would write into the old folder. Locations
    that `artifact_location` did not choose stay as they are.

    Returns:
        Old and new folder of each change.
    """
    here, moves = database.parent, []
    with closing(sqlite3.connect(database, timeout=LOCK_SECONDS)) as connection, connection:
        locations = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        for (location,) in locations:
            old = _moved_from(location, database)
            if old is None:
                continue
            for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
                _change_prefix(connection, table, column, location, (here / ARTIFACTS).as_uri())
            if old.name == here.name == FOLDER:  # the database of a home folder, which moved with it
                for tag in FOLDER_TAGS:
                    _change_prefix(connection, "tags", "value", str(old.parent), str(here.parent), tag)
                moves.append((old.parent, here.parent))
            else:
                moves.append((old, here))
    return moves


def _moved_from(location: str | None, database: Path) -> Path | None:
    """The folder of the database when an experiment was created, if it was another one than now."""
    parts = urlsplit(location or "")
    artifacts = Path(unquote(parts.path))
    if parts.scheme != "file" or artifacts.name != ARTIFACTS or artifacts.parent == database.parent:
        return None
    old = artifacts.parent / database.name
    # The same file under another path, for instance through another mount.
    return None if old.exists() and old.samefile(database) else artifacts.parent


def _change_prefix(
    connection: sqlite3.Connection, table: str, column: str, old: str, new: str, tag: str | None = None
) -> None:
    """Replace the folder at the start of the paths or URIs of a column, in rows of this tag if one is given."""
    rows = "1" if tag is None else "key = :tag"
    connection.execute(
        f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) "
        f"WHERE {rows} AND ({column} = :old OR substr({column}, 1, length(:old) + 1) = :old || '/')",
        {"old": old, "new": new, "tag": tag},
    )
