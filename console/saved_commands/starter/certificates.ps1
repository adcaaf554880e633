# muster: twin: certificates.sh
# muster: end
# Written from the documentation; not yet run on a real Windows machine.
$ErrorActionPreference = 'Continue'
Get-ChildItem -Path Cert:\LocalMachine\My | Sort-Object -Property NotAfter |
  Format-Table -AutoSize -Property @{ Name = 'Expires'; Expression = { $_.NotAfter.ToString('yyyy-MM-dd') } },
    @{ Name = 'Days'; Expression = { [int]($_.NotAfter - (Get-Date)).TotalDays } }, Subject
exit 0
