# muster: name: Top processes
# muster: description: The fifteen processes that take most of the processor.
# muster: tags: load processes starter
# muster: option timeout_s: 60
# muster: end
export LC_ALL=C
if ! command -v ps >/dev/null 2>&1; then
  echo "ps is not installed"
  exit 0
fi
ps -eo pid,user,pcpu,pmem,etime,comm 2>/dev/null | awk 'NR == 1'
ps -eo pid,user,pcpu,pmem,etime,comm 2>/dev/null | awk 'NR > 1' | sort -k3 -rn | head -n 15
exit 0
