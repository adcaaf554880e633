# muster: twin: memory.sh
# muster: end
# Written from the documentation; not yet run on a real Windows machine.
$ErrorActionPreference = 'Continue'
$os = Get-CimInstance -ClassName Win32_OperatingSystem
'Memory: {0:N1} GB, free {1:N1} GB' -f ($os.TotalVisibleMemorySize / 1MB), ($os.FreePhysicalMemory / 1MB)
'Page file: {0:N1} GB, free {1:N1} GB' -f ($os.SizeStoredInPagingFiles / 1MB), ($os.FreeSpaceInPagingFiles / 1MB)
Get-Process | Sort-Object -Property WorkingSet64 -Descending | Select-Object -First 10 |
  Format-Table -AutoSize -Property Id, ProcessName, @{ Name = 'MB'; Expression = { [math]::Round($_.WorkingSet64 / 1MB) } }
exit 0
