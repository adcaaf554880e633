"""``manage.py serve``: the whole console on this machine."""

import ipaddress
import os
import socket
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from console import databases, env
from console.demo import services as demo
from console.members import services as members
from console.saved_commands import folders
from console.supervisor import Child, DataFolderLocked, GivenUp, Supervisor, fail, lock_data_folder, note_address
from instances.credentials import vault

# Every address of this machine is none to go to: this one is.
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class Command(BaseCommand):
    """Migrate, then start the web process and the workers, and look after them."""

    help = "Start the console: web process and workers, supervised."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=int(os.environ.get("MUSTER_PORT", "8000")))
        parser.add_argument("--workers", type=int, default=None)
        parser.add_argument(
            "--insecure-http", action="store_true", help="Allow plain http on an address that is not loopback."
        )

        parser.add_argument(
            "--demo",
            action="store_true",
            help="While there is no instance, add a dozen demo instances on this machine.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        _refuse_plain_http(host, options["insecure_http"])
        try:
            lock = lock_data_folder(settings.DATA_DIR)
            if not settings.ENV.database_url:
                databases.close_to_others(settings.DATA_DIR)
        except (DataFolderLocked, OSError) as error:
            fail(error)
        _refuse_busy_port(host, port)
        try:
            _migrate()
            vault.check_ring()
            _, link = members.ensure_first_administrator(settings.ENV.admin_password or None)
        except OperationalError as error:
            fail(f"The database cannot be used: {error}")
        except vault.VaultError as error:
            fail(str(error))
        except ValidationError as error:
            fail(f"MUSTER_ADMIN_PASSWORD: {' '.join(error.messages)}")
        # Children read the port from the environment: the origins that may open a socket depend on it.
        os.environ["MUSTER_PORT"] = str(port)
        url = settings.ENV.url if os.environ.get("MUSTER_URL") else _answer_at(host, port)
        workers = options["workers"] or settings.ENV.workers
        # Pages are told how what they show ends; and the workers end what runs on the demo's instances.
        children = [Child("web", ["web", "--host", host, "--port", str(port)], ends_last=True)]
        children += [Child(f"worker {number}", ["worker"]) for number in range(1, workers + 1)]
        if options["demo"] and demo.register_when_empty(members.ensure_cli_user()):
            # The demo has something to send from the start.
            folders.add_starter(members.ensure_cli_user())
        has_demo = options["demo"] and demo.instances().exists()
        if has_demo:
            children.append(Child("demo", ["demo", "start"], ends_last=True))
        # This process looks after others from here on.
        connection.close()
        # For ``signin``, which knows nothing of --port.
        note_address(lock, url)
        try:
            Supervisor(children, ready=lambda: self._say_ready(url, host, link, has_demo)).run()
        except GivenUp as error:
            fail(str(error))
        finally:
            note_address(lock, "")
            lock.close()

    def _say_ready(self, url: str, host: str, link: str | None, has_demo: bool) -> None:
        if has_demo and demo.wait_until_served():
            self.stdout.write("Demo instances on this machine are ready; manage.py demo remove takes them away.")
        if host in ANY_ADDRESS and not os.environ.get("MUSTER_URL"):
            self.stdout.write("This machine's other addresses are not answered to until MUSTER_URL names one.")
        self.stdout.write(f"Muster answers at {url}/")
        if link:
            self.stdout.write(f"First sign-in, once, within 15 minutes: {url}{link}")
        self.stdout.write("Ctrl+C ends it.")
        self.stdout.flush()


def _migrate() -> None:
    """Change the tables where they are not as this version wants them; looking costs much less than migrating."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", interactive=False, verbosity=0)


def _answer_at(host: str, port: int) -> str:
    """Return the address to go to. Side effect: the children answer to it, who know only loopback's names else."""
    url = f"http://{_name(host)}:{port}"
    if _name(host) not in env.LOOPBACK_NAMES:
        os.environ["MUSTER_URL"] = url
    return url


def _name(host: str) -> str:
    host = ANY_ADDRESS.get(host, host.lower())
    return f"[{host}]" if ":" in host else host


def _refuse_plain_http(host: str, insecure: bool) -> None:
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not is_loopback and not settings.ENV.secure and not insecure:
        fail(
            f"Serving plain http on {host} would send passwords in clear. Set MUSTER_URL=https://… behind a proxy "
            "that does TLS, or add --insecure-http."
        )


def _refuse_busy_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            fail(f"Port {port} on {host} cannot be used: {error.strerror}. Choose another with --port.")
