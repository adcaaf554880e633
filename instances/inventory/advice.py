"""Owns the sentence that tells a person what to do about an instance that cannot be reached."""

ADVICE: dict[str, str] = {
    "dns": "Check the spelling of the address, and that the console's machine can look the name up.",
    "address_denied": "This network is closed to the console. An administrator opens it in MUSTER_DENIED_NETWORKS "
    "or, for the console's own machine, with MUSTER_ALLOW_LOCALHOST.",
    "refused": "The machine answers, but nothing listens on this port. Check the port, and that the SSH server runs.",
    "connect_timeout": "Nothing answered. Check that the machine is on, and that firewalls let the console through.",
    "no_route": "The network has no way to this address. Check the address, and the console's network and VPN.",
    "protocol": "Something answered that does not speak SSH as the console does. Check the port; an SSH server that "
    "only offers outdated algorithms is refused.",
    "server_closed": "The SSH server hung up before signing in. It may be overloaded or limiting connections "
    "(MaxStartups), or refuse the console's address. Try again in a minute.",
    "jump_refused": "The jump host is reached, but may not connect any further. Look at AllowTcpForwarding and "
    "PermitOpen in its sshd_config, for the user that is signed in there.",
    "auth_failed": "The instance refused the user name with this password or key. Check the credential, and for a key "
    "that its public half is in the user's authorized_keys file.",
    "credentials_missing": "Choose a credential for this instance, or a default for its group.",
    "credential_suspended": "The credential was refused twice, so it is no longer offered here: more tries could lock "
    "the console out. Correct the credential or choose another.",
    "key_passphrase_wrong": "Enter the passphrase of the private key again.",
    "key_unreadable": "The private key cannot be read. Paste it again, complete with its first and last line.",
    "certificate_refused": "Enter a new certificate on the credential's page; its key can stay.",
    "host_key_unknown": "Compare the fingerprint with the one on the machine, then trust it under Host keys.",
    "host_key_changed": "The machine shows another key than the trusted one. After a reinstallation that is expected: "
    "compare the fingerprint, then accept it under Host keys. Otherwise somebody may be in between.",
    "host_key_revoked": "This host key, or the authority behind it, was revoked under Host keys. Give the machine a "
    "new host key, then review that.",
    "host_certificate": "Have the host authority issue a certificate that is valid now and names this address, or "
    "trust the machine's own key under Host keys.",
    "connection_lost": "The connection broke off. Check the network between the console and the instance.",
    "cwd_missing": "Check the directory on the machine, and that the user who signs in, or the one to run as, may "
    "enter it.",
    "interpreter_missing": "Install the interpreter on the machine, or name one it has; of another user it must be in "
    "that user's PATH.",
    "run_as_user_missing": "There is no such user on the machine: check the name.",
    "run_as_denied": "Give the user who signs in a rule in sudoers for this user, with NOPASSWD.",
    "sudo_missing": "Install sudo on the machine, or sign in as the user itself.",
    "bootstrap": "Sign in by hand: the account may be allowed only one command, or have no /bin/sh.",
}
_OTHERWISE = "Check now once more; if it stays, look at the SSH server's log on the instance."


def advice_for(reason: str) -> str:
    """Return what a person can do next about a reason code; empty when there is no reason."""
    if not reason:
        return ""
    return ADVICE.get(reason, _OTHERWISE)
