# muster: name: Package updates
# muster: description: Packages with an update, from the lists the machine has; nothing is downloaded or changed.
# muster: tags: updates starter
# muster: option timeout_s: 60
# muster: end
export LC_ALL=C
show() {
  found=$(cat)
  if [ -z "$found" ]; then
    echo "no update is known"
  else
    echo "$found"
    echo
    echo "updates: $(printf '%s\n' "$found" | wc -l)"
  fi
}
if command -v apt-get >/dev/null 2>&1; then
  apt-get -s -o Debug::NoLocking=true upgrade 2>/dev/null | awk '/^Inst / { print $2, $3, $4 }' | show
elif command -v dnf >/dev/null 2>&1; then
  dnf -q -C check-update 2>/dev/null | awk 'NF == 3 { print $1, $2 }' | show
elif command -v yum >/dev/null 2>&1; then
  yum -q -C check-update 2>/dev/null | awk 'NF == 3 { print $1, $2 }' | show
elif command -v zypper >/dev/null 2>&1; then
  zypper --no-refresh -q list-updates 2>/dev/null | awk -F '|' '$1 ~ /^v/ { print $3, $5 }' | show
elif command -v apk >/dev/null 2>&1; then
  apk version -l '<' 2>/dev/null | awk 'NR > 1' | show
else
  echo "no package manager that is known here is installed"
fi
exit 0
