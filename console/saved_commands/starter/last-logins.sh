# muster: name: Last logins
# muster: description: Who is signed in, and who was last.
# muster: tags: users starter
# muster: option timeout_s: 60
# muster: end
export LC_ALL=C
if command -v who >/dev/null 2>&1; then
  echo "Signed in now"
  who 2>/dev/null
  echo
fi
echo "Last"
if ! command -v last >/dev/null 2>&1; then
  echo "last is not installed"
elif [ ! -r /var/log/wtmp ] && [ ! -e /var/lib/wtmpdb/wtmp.db ]; then
  echo "no record of logins is kept, or it cannot be read"
else
  last -n 20 2>/dev/null
fi
exit 0
