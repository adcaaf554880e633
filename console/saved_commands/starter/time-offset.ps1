# muster: twin: time-offset.sh
# muster: end
# Written from the documentation; not yet run on a real Windows machine.
$ErrorActionPreference = 'Continue'
'{0:yyyy-MM-dd HH:mm:ss zzz}' -f (Get-Date)
w32tm /query /status
exit 0
