# muster: twin: top-processes.sh
# muster: end
# Written from the documentation; not yet run on a real Windows machine.
$ErrorActionPreference = 'Continue'
Get-Process | Where-Object { $_.CPU } | Sort-Object -Property CPU -Descending | Select-Object -First 15 |
  Format-Table -AutoSize -Property Id, ProcessName, @{ Name = 'CpuSeconds'; Expression = { [math]::Round($_.CPU, 1) } }
exit 0
