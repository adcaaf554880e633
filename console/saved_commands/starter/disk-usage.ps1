# muster: twin: disk-usage.sh
# muster: end
# Written from the documentation; not yet run on a real Windows machine.
$ErrorActionPreference = 'Continue'
Get-CimInstance -ClassName Win32_LogicalDisk -Filter 'DriveType = 3' |
  Sort-Object -Property FreeSpace |
  Format-Table -AutoSize -Property DeviceID, VolumeName,
    @{ Name = 'SizeGB'; Expression = { [math]::Round($_.Size / 1GB, 1) } },
    @{ Name = 'FreeGB'; Expression = { [math]::Round($_.FreeSpace / 1GB, 1) } },
    @{ Name = 'UsedPercent'; Expression = { if ($_.Size) { [math]::Round(100 - 100 * $_.FreeSpace / $_.Size) } } }
exit 0
