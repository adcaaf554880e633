# muster: name: Containers
# muster: description: Docker and podman: what runs, and the space they take. Docker needs root or its group.
# muster: tags: containers starter
# muster: option timeout_s: 60
# muster: end
export LC_ALL=C
found=no
for tool in docker podman; do
  command -v "$tool" >/dev/null 2>&1 || continue
  found=yes
  echo "$tool"
  # Asking podman as an ordinary user would make its folders.
  if [ "$tool" = podman ] && [ "$(id -u)" != 0 ] && [ ! -d "$HOME/.local/share/containers" ]; then
    echo "    this user has no containers"
    continue
  fi
  if "$tool" info >/dev/null 2>&1 </dev/null; then
    "$tool" ps -a --format 'table {{.Names}}\t{{.Image}}\t{{.Status}}' 2>&1 </dev/null
    "$tool" system df 2>/dev/null </dev/null
  else
    echo "    it does not answer: its service is stopped, or this needs root"
  fi
done
[ "$found" = no ] && echo "neither docker nor podman is installed"
exit 0
