#!/bin/sh
# Find what the tests drive for real, or install it on a Debian-like machine as root; elsewhere say exactly what is missing.
set -eu
missing=""
[ -x /usr/sbin/sshd ] || command -v sshd >/dev/null || missing="$missing openssh-server"
[ -n "${CHROMIUM:-}" ] || command -v chromium >/dev/null || missing="$missing chromium"
command -v puttygen >/dev/null || missing="$missing putty-tools"
command -v node >/dev/null || missing="$missing nodejs"
command -v sudo >/dev/null || missing="$missing sudo"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing="$missing postgresql"
command -v busybox >/dev/null || missing="$missing busybox"
# Bat is run by its cmd.exe; what it recommends (sound, printers, another 60 packages) is not needed.
bare=""
command -v wine >/dev/null || bare=" wine wine64"
[ -n "$missing$bare" ] || exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  apt-get update -qq
  # shellcheck disable=SC2086  # one word each
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $bare >/dev/null
else
  echo "The tests need$missing$bare. Install them (Debian: apt-get install$missing$bare) and try again." >&2
  exit 1
fi
