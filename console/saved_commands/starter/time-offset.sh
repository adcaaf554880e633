# muster: name: Time offset
# muster: description: The clock, its zone, and how far it is from its time servers.
# muster: tags: time starter
# muster: option timeout_s: 60
# muster: end
export LC_ALL=C
date '+%Y-%m-%d %H:%M:%S %Z'
date -u '+%Y-%m-%d %H:%M:%S UTC'
if command -v chronyc >/dev/null 2>&1; then
  chronyc -n tracking 2>&1
elif command -v ntpq >/dev/null 2>&1; then
  ntpq -pn 2>&1
elif command -v timedatectl >/dev/null 2>&1 && [ -d /run/systemd/system ]; then
  timedatectl timesync-status 2>/dev/null || timedatectl status 2>&1
else
  echo "none of chronyc, ntpq and timedatectl is installed"
fi
exit 0
