# muster: twin: listening-ports.sh
# muster: end
# Written from the documentation; not yet run on a real Windows machine.
$ErrorActionPreference = 'Continue'
Get-NetTCPConnection -State Listen | Sort-Object -Property LocalPort |
  Format-Table -AutoSize -Property LocalAddress, LocalPort, OwningProcess,
    @{ Name = 'Process'; Expression = { (Get-Process -Id $_.OwningProcess -ErrorAction SilentlyContinue).ProcessName } }
Get-NetUDPEndpoint | Sort-Object -Property LocalPort | Format-Table -AutoSize -Property LocalAddress, LocalPort, OwningProcess
exit 0
