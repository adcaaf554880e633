# muster: name: Failed units
# muster: description: systemd units that failed, and the last lines of each one's log. Logs need root or the group systemd-journal.
# muster: tags: services starter
# muster: option timeout_s: 60
# muster: end
export LC_ALL=C
if ! command -v systemctl >/dev/null 2>&1; then
  echo "systemd is not installed"
  exit 0
fi
if [ ! -d /run/systemd/system ]; then
  echo "systemd is not running"
  exit 0
fi
units=$(systemctl list-units --failed --plain --no-legend --no-pager 2>/dev/null | awk '{ print $1 }')
if [ -z "$units" ]; then
  echo "no unit has failed"
  exit 0
fi
for unit in $units; do
  echo "$unit"
  journalctl -u "$unit" -n 5 --no-pager -q 2>/dev/null | sed 's/^/    /'
done
exit 0
