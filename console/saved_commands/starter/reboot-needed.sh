# muster: name: Reboot needed
# muster: description: Whether the machine waits for a restart, and why.
# muster: tags: updates starter
# muster: option timeout_s: 60
# muster: end
export LC_ALL=C
needed=no
if [ -e /run/reboot-required ] || [ -e /var/run/reboot-required ]; then
  needed=yes
  echo "the package manager asks for a restart"
  cat /run/reboot-required.pkgs 2>/dev/null | sort -u | sed 's/^/    /'
fi
running=$(uname -r)
if [ -d /lib/modules ] && [ -n "$(ls -A /lib/modules 2>/dev/null)" ] && [ ! -d "/lib/modules/$running" ]; then
  echo "the modules of the running kernel $running are not there: another kernel was installed, or this is a container"
fi
if command -v needs-restarting >/dev/null 2>&1; then
  needs-restarting -r >/dev/null 2>&1
  if [ $? -eq 1 ]; then
    needed=yes
    echo "needs-restarting asks for a restart"
  fi
fi
echo "reboot needed: $needed"
exit 0
