# muster: name: Memory
# muster: description: Memory and swap in use, and the ten processes that hold most.
# muster: tags: memory processes starter
# muster: option timeout_s: 60
# muster: end
export LC_ALL=C
if command -v free >/dev/null 2>&1; then
  free -h
elif [ -r /proc/meminfo ]; then
  grep -E '^(MemTotal|MemFree|MemAvailable|Buffers|Cached|SwapTotal|SwapFree):' /proc/meminfo
else
  echo "neither free nor /proc/meminfo is here"
fi
echo
if command -v ps >/dev/null 2>&1; then
  echo "Processes by resident memory (KiB)"
  ps -eo pid,user,rss,comm 2>/dev/null | awk 'NR == 1'
  ps -eo pid,user,rss,comm 2>/dev/null | awk 'NR > 1' | sort -k3 -rn | head -n 10
else
  echo "ps is not installed"
fi
exit 0
