# muster: name: Disk usage
# muster: description: Space and inodes of each mounted disk, the fullest first.
# muster: tags: disk starter
# muster: option timeout_s: 60
# muster: end
export LC_ALL=C
echo "Space"
df -hP 2>/dev/null | awk 'NR == 1'
df -hP 2>/dev/null | awk 'NR > 1 && $1 !~ /^(tmpfs|devtmpfs|udev|none)$/' | sort -k5 -rn
echo
echo "Inodes"
if df -iP / >/dev/null 2>&1; then
  df -iP 2>/dev/null | awk 'NR == 1'
  df -iP 2>/dev/null | awk 'NR > 1 && $1 !~ /^(tmpfs|devtmpfs|udev|none)$/' | sort -k5 -rn
else
  echo "df does not count inodes here"
fi
exit 0
