# muster: twin: largest-folders.sh
# muster: end
# Written from the documentation; not yet run on a real Windows machine.
$ErrorActionPreference = 'Continue'
"under $(Get-Location) (MB)"
Get-ChildItem -Directory -ErrorAction SilentlyContinue | ForEach-Object {
  $size = (Get-ChildItem -LiteralPath $_.FullName -Recurse -File -ErrorAction SilentlyContinue | Measure-Object -Property Length -Sum).Sum
  [pscustomobject]@{ MB = [math]::Round($size / 1MB); Folder = $_.Name }
} | Sort-Object -Property MB -Descending | Select-Object -First 20 | Format-Table -AutoSize
exit 0
