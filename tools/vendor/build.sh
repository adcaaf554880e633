#!/bin/sh
# Rebuild static/vendor from the pinned, locked npm packages. For developers: users get the committed files.
set -eu
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund --silent

modules=node_modules
out=../../static/vendor
rm -rf "$out"
mkdir -p "$out/licenses"

# One file: as two deferred files hx-ws lost the race against htmx's start, and no socket was opened (1 load in 10).
{
  cat "$modules/htmx.org/dist/htmx.min.js"
  printf '\n'
  cat "$modules/htmx.org/dist/ext/hx-ws.min.js"
} | sed '/^\/\/# sourceMappingURL/d' > "$out/htmx-ws.js"

"$modules/.bin/esbuild" editor.js --bundle --minify --format=iife --global-name=ShellEditor \
  --target=es2022 --legal-comments=none --log-level=warning --outfile="$out/editor.js"

{
  printf '<svg xmlns="http://www.w3.org/2000/svg">\n'
  while read -r icon; do
    source="$modules/lucide-static/icons/$icon.svg"
    # lucide renames icons and keeps the old name only as an alias.
    [ -f "$source" ] || { echo "no icon named $icon" >&2; exit 1; }
    printf '<symbol id="%s" viewBox="0 0 24 24">' "$icon"
    sed -n '/<svg/,/<\/svg>/p' "$source" | tr '\n' ' ' | sed 's/.*<svg[^>]*>//; s/<\/svg>.*//; s/  */ /g; s/^ //; s/ $//'
    printf '</symbol>\n'
  done < icons.txt
  printf '</svg>\n'
} > "$out/icons.svg"

for package in htmx.org @codemirror/view @lezer/highlight crelt style-mod w3c-keyname lucide-static; do
  cp "$modules/$package"/LICENSE* "$out/licenses/$(echo "$package" | tr -d '@' | tr '/' '-').txt"
done
(cd "$out" && LC_ALL=C sha256sum editor.js htmx-ws.js icons.svg > SHA256SUMS)
