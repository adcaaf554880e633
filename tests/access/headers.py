"""The headers that every answer has."""

import re

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self' 'nonce-*'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def policy_of(response):
    said = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    return {name: re.sub(r"'nonce-[\w+/=]{20,}'", "'nonce-*'", sources) for name, sources in said.items()}


def check(response):
    """Assert that an answer has the headers that every answer has."""
    assert {name: response.headers.get(name) for name in ALWAYS} == ALWAYS
    # Only whole pages have something that needs the nonce.
    assert policy_of(response) in (POLICY, {**POLICY, "style-src": "'self'"})
    assert "no-store" in response.headers["Cache-Control"]
