"""Owns which user names may be sent to an instance."""

import re

from django.core.exceptions import ValidationError

_RULE = re.compile(r"[A-Za-z0-9._@\\][A-Za-z0-9._@\\-]{0,63}")
RULE = "A user name has 1 to 64 letters, digits and . _ @ \\ -, and does not start with a dash."


def check_user_name(value: str) -> None:
    """Refuse what could be read as an option, a path or a command anywhere on the way. Raises: ValidationError."""
    if not _RULE.fullmatch(value):
        raise ValidationError(RULE, code="user_name")
