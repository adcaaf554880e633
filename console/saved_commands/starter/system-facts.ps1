# muster: twin: system-facts.sh
# muster: end
# Written from the documentation; not yet run on a real Windows machine.
$ErrorActionPreference = 'Continue'
$os = Get-CimInstance -ClassName Win32_OperatingSystem
$machine = Get-CimInstance -ClassName Win32_ComputerSystem
'os          {0} {1}' -f $os.Caption, $os.Version
'machine     {0} {1}' -f $machine.Manufacturer, $machine.Model
'name        {0}' -f $machine.Name
'processors  {0}' -f $machine.NumberOfLogicalProcessors
'memory      {0:N1} GiB' -f ($machine.TotalPhysicalMemory / 1GB)
Get-NetIPAddress -AddressState Preferred | Where-Object { $_.PrefixOrigin -ne 'WellKnown' } |
  ForEach-Object { 'address     {0} {1}' -f $_.InterfaceAlias, $_.IPAddress }
exit 0
