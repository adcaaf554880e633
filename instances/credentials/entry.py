"""Owns what a person enters for a credential: what is taken, how it is kept, and what is said about the rest.

What is wrong is raised as Django's ValidationError, by field: name, kind, user_name, secret, passphrase, certificates,
identities.
"""

from dataclasses import dataclass, field

from django.core.exceptions import ValidationError

from instances.credentials.models import CredentialKind
from instances.credentials.user_names import check_user_name
from instances.engine.errors import CertificateRefused, KeyUnreadable, PassphraseWrong
from instances.engine.ppk import FIRST_WORD as PUTTY
from instances.engine.ssh_keys import MAX_KEYS, check_certificates, public_line, split_keys
from instances.engine.types import HostKey

SECRET_LIMIT = 64 * 1024
_FORMS = "OpenSSH, PEM or PuTTY form"


@dataclass(frozen=True)
class Entered:
    """What was entered. ``secret``: the password, or the text of one or more private keys.

    ``certificates``: lines as in id_…-cert.pub. ``identities``: public lines of keys that the agent holds.
    """

    secret: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)
    certificates: str = ""
    identities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checked:
    """What is to be stored: the secret parts in plain, for sealing, and the columns that are no secret."""

    columns: dict[str, str]
    secret: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)


def clean_name(name: str) -> str:
    """Return a credential's name without the space around it. Raises: ValidationError."""
    name = name.strip()
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise ValidationError({"name": "A name has 1 to 80 visible characters."})
    return name


def check_entered_user_name(user_name: str) -> None:
    """Refuse user names that could be read as anything else on the way. Raises: ValidationError."""
    try:
        check_user_name(user_name)
    except ValidationError as error:
        raise ValidationError({"user_name": error.messages}) from None


def check_entered(kind: str, entered: Entered) -> Checked:
    """Return what is stored of a new credential. Raises: ValidationError."""
    if len(entered.secret) > SECRET_LIMIT or len(entered.passphrase) > SECRET_LIMIT:
        raise ValidationError({"secret": "This is too long for a password or a private key."})
    if len(entered.certificates) > SECRET_LIMIT:
        raise ValidationError({"certificates": "This is too long for certificates."})
    if kind == CredentialKind.PASSWORD:
        return _checked_password(entered)
    if kind == CredentialKind.KEY:
        return _checked_keys(entered)
    if kind == CredentialKind.AGENT:
        return _checked_identities(entered)
    raise ValidationError({"kind": "Choose a password, a private key or the ssh-agent."})


def check_change(kind: str, entered: Entered, public_lines: tuple[str, ...]) -> Checked:
    """Return what a change stores; without a new secret the one that is there stays, with the given public halves.

    Raises: ValidationError.
    """
    if entered.secret or kind == CredentialKind.AGENT:
        return check_entered(kind, entered)
    if entered.passphrase:
        raise ValidationError({"passphrase": "A passphrase is stored with its key: enter the key again too."})
    if kind != CredentialKind.KEY:
        return Checked({})
    return Checked({"certificates": _checked_certificates(entered.certificates, public_lines)})


def _checked_password(entered: Entered) -> Checked:
    if entered.passphrase:
        raise ValidationError({"passphrase": "Only a private key has a passphrase."})
    if not entered.secret:
        raise ValidationError({"secret": "Enter the password."})
    if any(character in entered.secret for character in "\0\r\n"):
        raise ValidationError({"secret": "A password is one line of text."})
    return Checked({}, entered.secret)


def _checked_keys(entered: Entered) -> Checked:
    # Browsers submit text areas with CR LF; OpenSSH's and PEM's readers want the last line ended.
    secret = entered.secret.replace("\r\n", "\n").strip() + "\n"
    if not secret.strip():
        raise ValidationError({"secret": "Paste the private key, or choose its file."})
    keys = split_keys(secret)
    if len(keys) > MAX_KEYS:
        raise ValidationError({"secret": f"At most {MAX_KEYS} keys: servers end a connection that offers more."})
    names = [f"Key {number}: " if len(keys) > 1 else "" for number in range(1, len(keys) + 1)]
    lines = tuple(_public_line(key, entered.passphrase, name) for key, name in zip(keys, names, strict=True))
    columns = _described(lines) | {"certificates": _checked_certificates(entered.certificates, lines)}
    return Checked(columns, secret, entered.passphrase)


def _checked_identities(entered: Entered) -> Checked:
    if not entered.identities:
        raise ValidationError({"identities": "Choose at least one key: others of the agent are never offered."})
    if len(entered.identities) > MAX_KEYS:
        raise ValidationError({"identities": f"At most {MAX_KEYS} keys: servers end a connection that offers more."})
    try:
        return Checked(_described(tuple(HostKey.parse(line).line for line in entered.identities)))
    except ValueError:
        raise ValidationError({"identities": "Choose among the keys that the agent holds."}) from None


def _described(lines: tuple[str, ...]) -> dict[str, str]:
    fingerprints = " ".join(HostKey.parse(line).fingerprint for line in lines)
    return {"public_keys": "\n".join(lines), "fingerprint": fingerprints}


def _public_line(key: str, passphrase: str, name: str) -> str:
    if "PRIVATE KEY" not in key and key.startswith(("ssh-", "ecdsa-", "sk-", "---- BEGIN SSH2 PUBLIC")):
        raise ValidationError({"secret": "This is the public half. The private one is in the file without .pub."})
    try:
        return public_line(key, passphrase or None)
    except (PassphraseWrong, KeyUnreadable) as error:
        # A PEM key opened with the wrong passphrase is noise, which the reader reports as an unreadable key.
        is_noise = bool(passphrase) and "ENCRYPTED" in key
        if isinstance(error, PassphraseWrong) or is_noise:
            wrong, missing = "The passphrase does not open this key.", "This key is encrypted: enter its passphrase."
            raise ValidationError({"passphrase": name + (wrong if passphrase else missing)}) from None
        part = " PuTTY's versions 2 and 3 are read." if key.startswith(PUTTY) else ""
        told = f"This is not a private key in {_FORMS}, or a part of it is missing.{part}"
        raise ValidationError({"secret": name + told}) from None


def _checked_certificates(text: str, public_lines: tuple[str, ...]) -> str:
    lines = "\n".join(line.strip() for line in text.splitlines() if line.strip())
    try:
        check_certificates(lines, public_lines)
    except CertificateRefused as error:
        raise ValidationError({"certificates": error.cause}) from None
    return lines
