"""Owns by what a machine is recognised: a trusted key, or a certificate of a trusted authority; never a revoked key."""

from collections.abc import Iterable
from dataclasses import dataclass

from instances.engine.algorithms import CERTIFICATES, host_key_algorithms
from instances.engine.errors import (
    ConnectError,
    HostCertificateRefused,
    HostKeyChanged,
    HostKeyRevoked,
    HostKeyUnknown,
)
from instances.engine.types import HostKey, Target

# What asyncssh says of a certificate it refuses, and what a person is told.
_CERTIFICATE_FAULTS = {
    "CA key is not trusted": "is signed by an authority that is not trusted for it",
    "Certificate expired": "has expired",
    "Certificate not yet valid": "is not valid yet",
    "Certificate principal mismatch": "is for another host name",
    "Invalid certificate type": "is not one for hosts",
    "Unable to decode host key": "cannot be read, or its signature is wrong",
}


@dataclass(frozen=True)
class Expected:
    """What one connection accepts of the machine; without authorities no certificate is asked for."""

    keys: tuple[HostKey, ...] = ()
    authorities: tuple[HostKey, ...] = ()
    revoked: tuple[HostKey, ...] = ()

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The host key algorithms to offer, best first: the others only so that a wrong key can be shown."""
        plain = host_key_algorithms(_kinds(self.keys))
        return CERTIFICATES + plain if self.authorities else plain

    def refusal(self, said: str, presented: HostKey | None) -> ConnectError | None:
        """Say in the engine's words why the machine was not recognised; None when it failed for something else.

        ``said`` is asyncssh's sentence, ``presented`` the plain key it was asked about, if any.
        """
        if "key is revoked" in said:
            return HostKeyRevoked()
        if presented is not None:
            return (HostKeyChanged if self.keys else HostKeyUnknown)(presented)
        fault = next((told for words, told in _CERTIFICATE_FAULTS.items() if words in said), "")
        return HostCertificateRefused(fault=fault) if fault and self.authorities else None


def plain(target: Target) -> Expected:
    """Expect one of the trusted keys; certificates are not looked at."""
    return Expected(keys=target.host_keys, revoked=target.revoked)


def certified(target: Target) -> Expected:
    """Expect a certificate of a trusted authority, or a trusted key from a server that has none."""
    return Expected(keys=target.host_keys, authorities=target.authorities, revoked=target.revoked)


def _kinds(keys: Iterable[HostKey]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key.algorithm for key in keys))
