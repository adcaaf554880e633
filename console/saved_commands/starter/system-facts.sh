# muster: name: System facts
# muster: description: Operating system, kernel, hardware, addresses.
# muster: tags: facts starter
# muster: option timeout_s: 60
# muster: end
export LC_ALL=C
if [ -r /etc/os-release ]; then
  (. /etc/os-release && echo "os          ${PRETTY_NAME:-$NAME}")
else
  echo "os          $(uname -s)"
fi
echo "kernel      $(uname -r)"
echo "machine     $(uname -m)"
echo "name        $(uname -n)"
echo "processors  $(getconf _NPROCESSORS_ONLN 2>/dev/null || echo unknown)"
[ -r /proc/cpuinfo ] && echo "model       $(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)"
[ -r /proc/meminfo ] && awk '/^MemTotal:/ { printf "memory      %.1f GiB\n", $2 / 1048576 }' /proc/meminfo
if command -v systemd-detect-virt >/dev/null 2>&1; then
  echo "virtual     $(systemd-detect-virt 2>/dev/null || true)"
fi
[ -r /sys/class/dmi/id/product_name ] && echo "product     $(cat /sys/class/dmi/id/product_name 2>/dev/null)"
if command -v ip >/dev/null 2>&1; then
  ip -o addr show scope global 2>/dev/null | awk '{ print "address    ", $2, $4 }'
elif command -v hostname >/dev/null 2>&1; then
  echo "addresses   $(hostname -I 2>/dev/null || echo unknown)"
fi
exit 0
