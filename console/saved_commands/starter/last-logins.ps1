# muster: twin: last-logins.sh
# muster: end
# Written from the documentation; not yet run on a real Windows machine.
$ErrorActionPreference = 'Continue'
'Signed in now:'
quser 2>$null
'Profiles by last use:'
Get-CimInstance -ClassName Win32_UserProfile -Filter 'Special = False' | Sort-Object -Property LastUseTime -Descending |
  Select-Object -First 20 | Format-Table -AutoSize -Property LocalPath, LastUseTime
exit 0
