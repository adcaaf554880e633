#!/bin/sh
# Find what the tests drive for real, or install it on a Debian-like machine as root; elsewhere say exactly what is missing.
set -eu
missing=""
[ -x /usr/sbin/sshd ] || command -v sshd >/dev/null || missing="$missing openssh-server"
[ -n "${CHROMIUM:-}" ] || command -v chromium >/dev/null || missing="$missing chromium"
command -v puttygen >/dev/null || missing="$missing putty-tools"
command -v node >/dev/null || missing="$missing nodejs"
[ -n "$missing" ] || exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  apt-get update -qq
  # shellcheck disable=SC2086  # one word each
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null
else
  echo "The tests need$missing. Install them (Debian: apt-get install$missing) and try again." >&2
  exit 1
fi
