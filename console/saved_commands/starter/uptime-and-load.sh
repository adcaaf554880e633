# muster: name: Uptime and load
# muster: description: How long the machine is up, its load, and how many processors share it.
# muster: tags: load starter
# muster: option timeout_s: 60
# muster: end
export LC_ALL=C
if command -v uptime >/dev/null 2>&1; then
  uptime
elif [ -r /proc/uptime ]; then
  awk '{ printf "up %d days %02d:%02d\n", $1 / 86400, $1 % 86400 / 3600, $1 % 3600 / 60 }' /proc/uptime
fi
[ -r /proc/loadavg ] && echo "load $(cut -d ' ' -f 1-3 /proc/loadavg)"
echo "processors $(getconf _NPROCESSORS_ONLN 2>/dev/null || echo unknown)"
for kind in cpu memory io; do
  [ -r "/proc/pressure/$kind" ] && sed "s/^/pressure $kind /" "/proc/pressure/$kind" 2>/dev/null
done
exit 0
