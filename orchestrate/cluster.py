"""The parts of Shoal as the services of docker-compose.yml, and the secrets that they share.

A service checks the secrets it was given, then becomes its program. What it needs to know stands in
docker-compose.yml; what holds on one machine too comes from :mod:`orchestrate.airflow_server` and
:mod:`orchestrate.mlflow_server`.
"""

from __future__ import annotations

import base64
import configparser
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Formatter
from typing import NoReturn

import settings
from cli import ShoalError, console
from orchestrate import airflow_server, login, mlflow_server

SECRETS = {
    "fernet.key": "{fernet}",
    "api.key": "{api}",
    "jwt.key": "{jwt}",
    "flask.key": "{flask}",
    "login.json": '{{"' + login.USER + '": "{login}"}}',
    "redis.conf": "requirepass {redis}",
    "redis.password": "{redis}",
    "postgres.password": "{postgres}",
    "postgres.pgpass": "*:*:*:postgres:{postgres}",
    "airflow.pgpass": "*:*:*:airflow:{airflow}",
    "mlflow.pgpass": "*:*:*:mlflow:{mlflow}",
    "objects.credentials": "[default]\naws_access_key_id = shoal\naws_secret_access_key = {objects}",
    "objects.json": '{{"identities": [{{"name": "shoal", "actions": ["Admin"], '
    '"credentials": [{{"accessKey": "shoal", "secretKey": "{objects}"}}]}}]}}',
}
"""Each file of secrets and its text; a secret of one name is the same in every file."""

PARTS = {
    **airflow_server.PARTS,
    "triggerer": ["triggerer", "--skip-serve-logs"],
}


def make_secrets(folder: Path) -> None:
    """Make the folders and secrets of docker-compose.yml, and the .env that says who runs the services.

    What is there already stays. Nothing but its owner reads it.

    Raises
    ------
    ShoalError
        When root asks for it: every service runs as whoever does.
    """
    if os.getuid() == 0:
        raise ShoalError("the services would run as root: run this as the user who is to own their files")
    for name in ("secrets", "data", "postgres", "redis", "objects"):
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    write_secrets(folder / "secrets")
    _tell_compose(SHOAL_USER=f"{os.getuid()}:{os.getgid()}", SHOAL_CLUSTER=str(folder))
    console.print(f"secrets: {folder / 'secrets'}\nlog-in: user {login.USER}, password in login.json there")


def _tell_compose(**variables: str) -> None:
    """Set variables in the .env that Compose reads; what a person set there stays."""
    path = settings.ROOT / ".env"
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if line.partition("=")[0] not in variables]
    path.write_text("".join(f"{line}\n" for line in [*kept, *(f"{k}={v}" for k, v in variables.items())]))


def write_secrets(folder: Path) -> None:
    """Write the secrets that are not there yet, each with the value that its other files have."""
    known = {name: secret for name, secret in _read(folder).items() if secret}
    for file, text in SECRETS.items():
        path = folder / file
        name = _name_in(text)
        if not path.exists():
            login.write_private(path, text.format(**{name: known.setdefault(name, _generated())}))


def check_secrets() -> None:
    """Refuse what nobody would have generated, and files that are about the same and do not agree.

    Raises
    ------
    ShoalError
        Names the file, never what is in it.
    """
    folder = settings.secrets_dir()
    if folder is None:
        raise ShoalError(
            "SHOAL_SECRETS is not set: name the folder of the secrets, as docker-compose.yml does"
        )
    for file in sorted(path.name for path in folder.iterdir() if path.name in SECRETS):
        secret = _secret_in(folder / file)
        login.checked(folder / file, secret, login.KEY_LETTERS)
    _read(folder)


def serve(part: str, queue: str) -> NoReturn:
    """Become the program of a service."""
    check_secrets()
    if part == "mlflow":
        _become(mlflow_server.COMMAND, _mlflow_environment())
    if part == "worker":
        _hand_log_in_to_mlflow()
        _become(_airflow("celery", "worker", *_worker_options(queue)), _airflow_environment())
    environment = airflow_server.keys() | _airflow_environment()
    if part == "api-server":
        # The auth manager opens this file for writing, which a mounted secret does not allow.
        passwords = Path.home() / "login.json"
        login.write_private(passwords, login.file().read_text())
        environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] = str(passwords)
    _become(_airflow(*PARTS[part]), environment)


def prepare() -> None:
    """Make or renew the databases, the pool and the bucket; safe to repeat, and run before every start."""
    check_secrets()
    environment = airflow_server.keys() | _airflow_environment()
    stores = {
        "airflow": environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"],
        "mlflow": environment["MLFLOW_BACKEND_STORE_URI"],
    }
    for name, address in stores.items():
        _make_database(name, address)
    _run(_airflow("db", "migrate"), environment)
    _run(_airflow("pools", "set", "warehouse", "1", "One writer", "--include-deferred"), environment)
    if _has_tables(stores["mlflow"]):
        _run([sys.executable, "-m", "mlflow", "db", "upgrade", stores["mlflow"]], environment)
    _make_bucket(environment["MLFLOW_ARTIFACTS_DESTINATION"], environment["MLFLOW_S3_ENDPOINT_URL"])


def _airflow(*words: str) -> list[str]:
    return [sys.executable, "-m", "airflow", *words]


def _worker_options(queue: str) -> list[str]:
    # Task logs are files in the shared folder; the worker's own log server would listen on all interfaces.
    return ["--queues", queue, "--celery-hostname", f"{queue}@%h", "--skip-serve-logs"]


def _airflow_environment() -> dict[str, str]:
    """Return the environment of a part of Airflow; what docker-compose.yml says counts."""
    return {**airflow_server.common_environment(), **settings.environment()}


def _mlflow_environment() -> dict[str, str]:
    environment = settings.environment()
    key = login.existing_key(_secrets() / "flask.key")
    log_ins = environment["MLFLOW_BACKEND_STORE_URI"]
    return environment | mlflow_server.common_environment(Path.home(), log_ins, key)


def _hand_log_in_to_mlflow() -> None:
    """Write the log-in where MLflow's client looks for it, so that it stands in no task's environment."""
    config = configparser.ConfigParser(interpolation=None)
    config["mlflow"] = {"mlflow_tracking_username": login.USER, "mlflow_tracking_password": login.password()}
    path = Path.home() / ".mlflow" / "credentials"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    login.write_private(path, "")
    with path.open("w") as file:
        config.write(file)


def _become(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    os.umask(0o077)
    os.execve(command[0], list(command), dict(environment))  # noqa: S606


def _run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    code = subprocess.run(command, env=dict(environment), cwd=settings.ROOT, check=False).returncode
    if code:
        raise ShoalError(f"`{' '.join(command[1:5])}` ended with exit code {code}; see above")


def _make_database(name: str, address: str) -> None:
    """Make a role and its database where they are absent; the role's password is that of its file."""
    import psycopg2
    import sqlalchemy
    from psycopg2 import sql

    url = sqlalchemy.make_url(address)
    password = _secret_in(_secrets() / f"{name}.pgpass")
    passfile = str(_secrets() / "postgres.pgpass")
    admin = psycopg2.connect(
        host=url.host, port=url.port, user="postgres", dbname="postgres", passfile=passfile
    )
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute("select 1 from pg_roles where rolname = %s", [name])
        if not cursor.fetchone():
            cursor.execute(sql.SQL("create role {} login").format(sql.Identifier(name)))
        cursor.execute(sql.SQL("alter role {} password %s").format(sql.Identifier(name)), [password])
        cursor.execute("select 1 from pg_database where datname = %s", [name])
        if not cursor.fetchone():
            cursor.execute(sql.SQL("create database {0} owner {0}").format(sql.Identifier(name)))
            cursor.execute(sql.SQL("revoke all on database {} from public").format(sql.Identifier(name)))
    admin.close()


def _has_tables(address: str) -> bool:
    import sqlalchemy

    engine = sqlalchemy.create_engine(address)
    try:
        return sqlalchemy.inspect(engine).has_table("experiments")
    finally:
        engine.dispose()


def _make_bucket(destination: str, endpoint: str) -> None:
    import boto3
    from botocore.exceptions import ClientError

    bucket = destination.removeprefix("s3://").partition("/")[0]
    client = boto3.client("s3", endpoint_url=endpoint)
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError:
        client.create_bucket(Bucket=bucket)


def _secrets() -> Path:
    folder = settings.secrets_dir()
    assert folder is not None, "check_secrets() has seen to it"
    return folder


def _read(folder: Path) -> dict[str, str]:
    """Return the secrets of a folder by name.

    Raises
    ------
    ShoalError
        When two files do not agree.
    """
    found: dict[str, tuple[str, str]] = {}
    for file, text in SECRETS.items():
        if (folder / file).exists():
            name = _name_in(text)
            secret = _secret_in(folder / file)
            other, value = found.setdefault(name, (file, secret))
            if value != secret:
                raise ShoalError(
                    f"{other} and {file} in {folder} hold different secrets: make them agree, or delete both"
                )
    return {name: value for name, (_, value) in found.items()}


def _name_in(text: str) -> str:
    (name,) = (field for _, field, _, _ in Formatter().parse(text) if field)
    return name


def _secret_in(path: Path) -> str:
    """Return the secret in a file, '' where the file has another form."""
    before, after = SECRETS[path.name].format_map(_Blank()).split(_Blank.MARK)
    text = path.read_text().strip() if path.exists() else ""
    if len(text) < len(before + after) or not (text.startswith(before) and text.endswith(after)):
        return ""
    return text[len(before) : len(text) - len(after)]


class _Blank(dict[str, str]):
    """Puts a mark where a secret stands."""

    MARK = "\0"

    def __missing__(self, _: str) -> str:
        return self.MARK


def _generated() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
