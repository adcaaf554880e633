"""Reads an import, a CSV table or an OpenSSH client configuration, and says what each line would add.

Both become lines as of a pasted list, with what they are reached through; nothing is saved, and no file is opened.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from instances.access import rules
from instances.access.models import Group
from instances.access.rules import Action
from instances.inventory import addresses, services, ssh_config
from instances.inventory import tags as tag_text
from instances.inventory.addresses import Address
from instances.inventory.errors import InventoryError
from instances.inventory.models import OS
from instances.inventory.paste import LINES_LIMIT, Line
from instances.inventory.services import NewInstance
from instances.inventory.ssh_config import Remark

if TYPE_CHECKING:
    from console.members.models import User

COLUMNS = ("name", "address", "port", "user", "os", "group", "tags", "via")
DELIMITERS = ",;\t"
# Nobody means to show these to everybody who sees the list.
_SECRET = re.compile(r"pass(word|wd|phrase)?|secret|token|private_?key|credential", re.IGNORECASE)


def read_csv(actor: "User", text: str) -> tuple[list[Line], list[Remark]]:
    """Read a table with a header row; columns that are none of COLUMNS are tags.

    Every value is only text: what a spreadsheet would take for a formula stays what it is.
    Side effects: one query, for the groups the actor may add to.
    """
    text = text.removeprefix("\ufeff")
    rows = _rows(text)
    try:
        _, header = next(rows, (0, []))
        columns = _columns(header)
    except (csv.Error, ValueError) as error:
        return [], [Remark(1, str(error))]
    theirs = Group.objects.filter(rules.scope(actor, Action.MANAGE_INSTANCES, field="pk"))
    groups = {group.name: group for group in theirs}
    lines: list[Line] = []
    try:
        for number, cells in rows:
            if any(cell.strip() for cell in cells):
                lines.append(_table_line(number, columns, cells, groups))
    except csv.Error as error:
        number = lines[-1].number + 1 if lines else 2
        lines.append(Line(number, "", error=f"From here on this is no table: {error}."))
    return lines, []


def read_ssh_config(text: str) -> tuple[list[Line], list[Remark]]:
    """Read a configuration: each host that is written out, and each jump host it needs besides."""
    config = ssh_config.read(text.removeprefix("\ufeff"))
    return _Hosts(config).lines(), config.remarks


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the number of the line it begins in."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    found = Counter(char for char in re.sub(r'"[^"]*"', "", first) if char in DELIMITERS)
    delimiter = found.most_common(1)[0][0] if found else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    begins = 1
    for row in reader:
        if row:
            yield begins, row
        begins = reader.line_num + 1


def _columns(header: list[str]) -> list[str]:
    columns = [cell.strip().lower() for cell in header]
    if "address" not in columns:
        raise ValueError(
            f"The first line names the columns, and one of them is address. Known are {', '.join(COLUMNS)}."
        )
    for column in columns:
        if not column or columns.count(column) > 1:
            raise ValueError(f"The column “{column[:80]}” is there twice." if column else "A column has no name.")
        if _SECRET.search(column):
            raise ValueError(
                f"The column “{column[:80]}” looks like secrets. Leave it out: credentials are kept under Credentials."
            )
        if column not in COLUMNS:
            try:
                tag_text.parse_one(f"{column}=x")
            except InventoryError as error:
                raise ValueError(str(error)) from error
    return columns


def _table_line(number: int, columns: list[str], cells: list[str], groups: dict[str, Group]) -> Line:
    text = ", ".join(cell.strip() for cell in cells)[:500]
    if number > LINES_LIMIT:
        return Line(number, text, error=f"A list has at most {LINES_LIMIT} lines.")
    if len(cells) > len(columns):
        return Line(number, text, error=f"This line has {len(cells)} values for {len(columns)} columns.")
    said = {column: cell.strip() for column, cell in zip(columns, cells, strict=False)}
    try:
        new = NewInstance(
            _address(said.get("address", ""), said.get("port", ""), said.get("user", "")),
            said.get("name", ""),
            os=_os(said.get("os", "")),
            tags=_tags(said),
            group=_group(said.get("group", ""), groups),
            via=said.get("via", ""),
        )
        services.check_address(new.address)
        services.check_name(new.wanted_name)
    except InventoryError as error:
        return Line(number, text, error=str(error))
    return Line(number, text, new)


def _address(address: str, port: str, user: str) -> Address:
    parsed = addresses.parse(address)
    if not port and not user:
        return parsed
    if parsed.is_local:
        parsed = replace(parsed, is_local=False)
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    if port and parsed.port != addresses.DEFAULT_PORT and port != str(parsed.port):
        raise InventoryError(f"The address has the port {parsed.port}, and the column {port[:10]}.")
    if user and parsed.user and user != parsed.user:
        raise InventoryError(f"The address has the user {parsed.user}, and the column {user[:80]}.")
    user = user or parsed.user
    return addresses.parse(f"{user}@{host}:{port or parsed.port}" if user else f"{host}:{port or parsed.port}")


def _os(text: str) -> str:
    text = text.lower() or OS.LINUX
    if text not in OS.values:
        raise InventoryError(f"os is one of {', '.join(OS.values)}.")
    return text


def _tags(said: dict[str, str]) -> dict[str, str]:
    words = [said.get("tags", ""), *(f"{key}={value}" for key, value in said.items() if key not in COLUMNS and value)]
    for word in words[1:]:
        # With blanks in it, parse would take it for several.
        tag_text.parse_one(word)
    return tag_text.parse(" ".join(words))


def _group(name: str, groups: dict[str, Group]) -> Group | None:
    if name and name not in groups:
        raise InventoryError(f"There is no group “{name[:80]}” that you may add instances to.")
    return groups[name] if name else None


class _Hosts:
    """The hosts of a configuration as lines; jump hosts that are not written out get a line of their own."""

    def __init__(self, config: ssh_config.Config) -> None:
        self._config = config
        self._names = config.names()
        self._lines: dict[str, Line] = {}
        self._open: list[str] = []

    def lines(self) -> list[Line]:
        for name in self._names:
            self._named(name)
        return sorted(self._lines.values(), key=lambda line: line.number)

    def _named(self, name: str) -> Line:
        """Return the line of a host that is written out."""
        if name not in self._lines:
            number, way = self._names[name], self._config.way_to(name)
            line = Line(number, f"Host {name}", note=_note(way))
            if number > LINES_LIMIT:
                line = replace(line, error=f"A list has at most {LINES_LIMIT} lines.")
            elif name in self._open:
                return replace(line, error=f"{name} is reached through itself.")
            else:
                self._open.append(name)
                line = self._reached(line, name, way, way.jumps)
                self._open.remove(name)
            self._lines[name] = line
        return self._lines[name]

    def _reached(self, line: Line, name: str, way: ssh_config.Way, jumps: tuple[str, ...]) -> Line:
        try:
            via = ""
            for jump in jumps:
                via = self._jump(line.number, jump, via)
            host = f"[{way.host}]" if ":" in way.host else way.host
            place = f"{host}:{way.port or addresses.DEFAULT_PORT}"
            new = NewInstance(addresses.parse(f"{way.user}@{place}" if way.user else place), name, tags={}, via=via)
            services.check_address(new.address)
            services.check_name(new.wanted_name)
        except InventoryError as error:
            return replace(line, error=str(error))
        return replace(line, new=new)

    def _jump(self, number: int, word: str, before: str) -> str:
        """Return the name of the instance for one word of ProxyJump; ``before`` is that of the word before it."""
        spec = addresses.parse(word.removeprefix("ssh://"))
        bare = word.removeprefix("ssh://").rpartition("@")[2]
        alias = bare.partition(":")[0] if bare.count(":") == 1 else bare
        alias = alias if alias in self._names else spec.host
        way = self._config.way_to(alias)
        has_port = spec.port != addresses.DEFAULT_PORT
        way = replace(way, user=spec.user or way.user, port=str(spec.port) if has_port else way.port)
        if alias in self._names and not spec.user and not has_port:
            line = self._named(alias)
            if line.new is None or not before or line.new.via == before:
                return _checked(line).wanted_name
        # Without a word before it, ssh reaches it by its own configuration.
        name = f"{alias} through {before}"[: services.NAME_LIMIT] if alias in self._names and before else word
        if name not in self._lines:
            if name in self._open:
                raise InventoryError(f"{name} is reached through itself.")
            self._open.append(name)
            made = Line(number, f"ProxyJump {word}", is_jump=True)
            line = self._reached(made, name, way, () if before else way.jumps)
            if before and line.new is not None:
                line = replace(line, new=replace(line.new, via=before))
            self._open.remove(name)
            self._lines[name] = line
        return _checked(self._lines[name]).wanted_name


def _checked(line: Line) -> NewInstance:
    if line.new is None:
        raise InventoryError(f"Its jump host, line {line.number}, cannot be added: {line.error}")
    return line.new


def _note(way: ssh_config.Way) -> str:
    notes = []
    if way.has_command:
        notes.append("ProxyCommand is not read: choose a jump host, or it is reached directly.")
    if way.key_files:
        notes.append(f"{', '.join(way.key_files)[:200]}: not read. Keep the key under Credentials.")
    if way.ignored:
        notes.append(f"Left out: {', '.join(way.ignored)[:200]}.")
    return " ".join(notes)
