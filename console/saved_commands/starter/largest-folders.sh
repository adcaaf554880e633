# muster: name: Largest folders
# muster: description: The twenty largest folders under the working directory, down to three levels, on its disk alone. Set the working directory; folders of others need root.
# muster: tags: disk starter
# muster: option timeout_s: 600
# muster: end
export LC_ALL=C
echo "under $(pwd) (MiB)"
du -x -m -d 3 . 2>/dev/null | sort -rn | head -n 20
exit 0
