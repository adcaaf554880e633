# muster: twin: reboot-needed.sh
# muster: end
# Written from the documentation; not yet run on a real Windows machine.
$ErrorActionPreference = 'Continue'
$waits = @()
if (Test-Path 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired') { $waits += 'Windows Update' }
if (Test-Path 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending') { $waits += 'servicing' }
$manager = Get-ItemProperty -Path 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager' -ErrorAction SilentlyContinue
if ($manager.PendingFileRenameOperations) { $waits += 'files to rename' }
if ($waits) { 'reboot needed: yes (' + ($waits -join ', ') + ')' } else { 'reboot needed: no' }
exit 0
