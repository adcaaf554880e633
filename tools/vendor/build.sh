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

# xterm.js sets the style of cells in true colour with setAttribute, which a strict Content-Security-Policy forbids;
# through the CSSOM the same is allowed.
attribute='\([a-z]\)\.setAttribute("style",`${\1\.getAttribute("style")||""}${\([a-z]\)};`)'
sed "s/$attribute/\1.style.cssText+=\2+\";\"/" "$modules/@xterm/xterm/lib/xterm.mjs" > "$modules/xterm-csp.mjs"
if grep -q 'setAttribute("style"' "$modules/xterm-csp.mjs" || ! grep -q 'style\.cssText+=' "$modules/xterm-csp.mjs"; then
  echo "xterm.js sets styles in another way now" >&2
  exit 1
fi
"$modules/.bin/esbuild" terminal.js --bundle --minify --format=esm --target=es2022 --alias:@xterm/xterm="./$modules/xterm-csp.mjs" \
  --legal-comments=none --log-level=warning --outfile="$out/xterm.js"
cp "$modules/@xterm/xterm/css/xterm.css" "$out/xterm.css"

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

for package in htmx.org @codemirror/view @lezer/highlight crelt style-mod w3c-keyname lucide-static \
  @xterm/xterm @xterm/addon-fit @xterm/addon-search @xterm/addon-unicode11; do
  cp "$modules/$package"/LICENSE* "$out/licenses/$(echo "$package" | tr -d '@' | tr '/' '-').txt"
done
(cd "$out" && LC_ALL=C sha256sum editor.js htmx-ws.js icons.svg xterm.css xterm.js > SHA256SUMS)
