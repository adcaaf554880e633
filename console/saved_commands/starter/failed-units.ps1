# muster: twin: failed-units.sh
# muster: end
# Written from the documentation; not yet run on a real Windows machine.
$ErrorActionPreference = 'Continue'
'Services that start by themselves and do not run:'
Get-CimInstance -ClassName Win32_Service -Filter "StartMode = 'Auto' AND State <> 'Running'" |
  Format-Table -AutoSize -Property Name, State, ExitCode, DisplayName
exit 0
