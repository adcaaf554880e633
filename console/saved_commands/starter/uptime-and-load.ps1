# muster: twin: uptime-and-load.sh
# muster: end
# Written from the documentation; not yet run on a real Windows machine.
$ErrorActionPreference = 'Continue'
$os = Get-CimInstance -ClassName Win32_OperatingSystem
'Up since {0:yyyy-MM-dd HH:mm}, {1:N1} days' -f $os.LastBootUpTime, ((Get-Date) - $os.LastBootUpTime).TotalDays
Get-CimInstance -ClassName Win32_Processor | Format-Table -AutoSize -Property DeviceID, NumberOfLogicalProcessors, LoadPercentage
exit 0
