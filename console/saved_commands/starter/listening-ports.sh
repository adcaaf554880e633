# muster: name: Listening ports
# muster: description: What listens on TCP and UDP. The names of other users' processes need root.
# muster: tags: network starter
# muster: option timeout_s: 60
# muster: end
export LC_ALL=C
if command -v ss >/dev/null 2>&1; then
  ss -tulpn 2>/dev/null
elif command -v netstat >/dev/null 2>&1; then
  netstat -tulpn 2>/dev/null || netstat -an 2>/dev/null | grep -i listen
else
  echo "neither ss nor netstat is installed"
fi
exit 0
