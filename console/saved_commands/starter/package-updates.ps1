# muster: twin: package-updates.sh
# muster: end
# Written from the documentation; not yet run on a real Windows machine.
$ErrorActionPreference = 'Continue'
$session = New-Object -ComObject Microsoft.Update.Session
$searcher = $session.CreateUpdateSearcher()
# What the machine knows already; nothing is asked for online.
$searcher.Online = $false
$found = $searcher.Search('IsInstalled = 0 AND IsHidden = 0').Updates
if ($found.Count -eq 0) { 'no update is known' }
foreach ($update in $found) { $update.Title }
exit 0
