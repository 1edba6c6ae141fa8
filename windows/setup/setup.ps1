# Signs and installs Inlay on a Windows test machine, and takes it away again. In PowerShell, as administrator:
#   .\setup.ps1 Sign        makes a test certificate, trusts it on this machine, makes the catalogue, signs driver and program
#   .\setup.ps1 Install     checks that Windows takes test signatures, installs driver, program and service, starts them
#   .\setup.ps1 Verify      what is installed, loaded and running; Driver Verifier's settings
#   .\setup.ps1 Uninstall   detaches everything, removes service, driver, program and certificate
# inlay.inf, inlay.sys and inlay.exe lie beside this script, or in -Files. For anything but tests see docs/WINDOWS.md, "Signing".
# SPDX-License-Identifier: Apache-2.0
[CmdletBinding()]
param(
	[Parameter(Mandatory = $true, Position = 0)][ValidateSet('Sign', 'Install', 'Verify', 'Uninstall')][string]$Action,
	[string]$Files = $PSScriptRoot,
	[string]$Target = (Join-Path $env:ProgramFiles 'Inlay')
)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$subject = 'CN=Inlay test signing, not for production'

function Stop-With([string]$text) {
	Write-Host "setup: $text" -ForegroundColor Red
	exit 1
}

# Programs whose exit code counts; their output is shown.
function Invoke-Checked([string]$program, [string[]]$arguments, [int[]]$good = @(0)) {
	Write-Host "> $program $($arguments -join ' ')"
	& $program @arguments
	if ($good -notcontains $LASTEXITCODE) { Stop-With "$program ended with $LASTEXITCODE" }
}

function Assert-Administrator {
	$me = [Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()
	if (-not $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
		Stop-With 'needs an administrator: start PowerShell with "Run as administrator"'
	}
	if (-not [Environment]::Is64BitOperatingSystem -or [Environment]::OSVersion.Version.Build -lt 18362) {
		Stop-With 'needs Windows 10 1903 or newer, x64'
	}
}

function Get-Needed([string]$name) {
	$path = Join-Path $Files $name
	if (-not (Test-Path $path)) { Stop-With "$name is missing in ${Files}: build it (make windows) and copy it here" }
	$path
}

# The newest one of the Windows kits, the 64-bit one where there is a choice.
function Find-KitTool([string]$name) {
	$key = Get-ItemProperty 'HKLM:\SOFTWARE\Microsoft\Windows Kits\Installed Roots' -Name KitsRoot10 -ErrorAction SilentlyContinue
	$root = if ($key) { $key.KitsRoot10 } else { $null }
	if (-not $root) { Stop-With "$name is missing: install the Windows SDK and the Windows Driver Kit" }
	$found = Get-ChildItem (Join-Path $root 'bin') -Recurse -Filter $name -ErrorAction SilentlyContinue |
		Where-Object { $_.FullName -match '\\x(64|86)\\' } | Sort-Object { $_.FullName -match '\\x64\\' }, FullName | Select-Object -Last 1
	if (-not $found) { Stop-With "$name is missing in ${root}: install the Windows SDK and the Windows Driver Kit" }
	$found.FullName
}

function Get-Certificate {
	Get-ChildItem Cert:\LocalMachine\My | Where-Object { $_.Subject -eq $subject -and $_.NotAfter -gt (Get-Date) } | Select-Object -First 1
}

function Invoke-Sign {
	$signtool = Find-KitTool 'signtool.exe'
	$inf2cat = Find-KitTool 'Inf2Cat.exe'
	$sys = Get-Needed 'inlay.sys'
	$exe = Get-Needed 'inlay.exe'
	Get-Needed 'inlay.inf' | Out-Null
	$certificate = Get-Certificate
	if (-not $certificate) {
		$certificate = New-SelfSignedCertificate -Type CodeSigningCert -Subject $subject -CertStoreLocation Cert:\LocalMachine\My `
			-KeyAlgorithm RSA -KeyLength 3072 -HashAlgorithm SHA256 -NotAfter (Get-Date).AddYears(1)
	}
	$cer = Join-Path $Files 'inlay-test.cer'
	Export-Certificate -Cert $certificate -FilePath $cer | Out-Null
	# Trusted as a root and as a publisher, on this machine alone.
	Import-Certificate -FilePath $cer -CertStoreLocation Cert:\LocalMachine\Root | Out-Null
	Import-Certificate -FilePath $cer -CertStoreLocation Cert:\LocalMachine\TrustedPublisher | Out-Null
	# The driver's own signature comes first: the catalogue holds the hash of the signed file.
	foreach ($file in @($sys, $exe)) {
		Invoke-Checked $signtool @('sign', '/fd', 'SHA256', '/sm', '/s', 'My', '/sha1', $certificate.Thumbprint, $file)
	}
	Invoke-Checked $inf2cat @("/driver:$Files", '/os:10_X64,Server10_X64', '/uselocaltime')
	Invoke-Checked $signtool @('sign', '/fd', 'SHA256', '/sm', '/s', 'My', '/sha1', $certificate.Thumbprint, (Join-Path $Files 'inlay.cat'))
	Write-Host 'signed. Take inlay-test.cer along to other test machines, or sign there.'
}

function Assert-TestSigning {
	$signature = Get-AuthenticodeSignature (Get-Needed 'inlay.sys')
	if ($signature.Status -eq 'NotSigned') { Stop-With 'inlay.sys is not signed: .\setup.ps1 Sign first' }
	if ($signature.SignerCertificate.Subject -ne $subject) { return } # somebody's real one: Windows judges it
	$entry = (& bcdedit /enum '{current}') -join "`n"
	if ($entry -match '(?m)^testsigning\s+(Yes|Ja|Oui)') { return }
	$secure = $false
	try { $secure = Confirm-SecureBootUEFI } catch { $secure = $false }
	if ($secure) { Stop-With 'Windows takes no test signatures: switch Secure Boot off in the firmware, then "bcdedit /set testsigning on" and restart' }
	Stop-With 'Windows takes no test signatures: "bcdedit /set testsigning on" and restart'
}

function Invoke-Install {
	$inf = Get-Needed 'inlay.inf'
	$exe = Get-Needed 'inlay.exe'
	Get-Needed 'inlay.cat' | Out-Null
	Assert-TestSigning
	# 259: it was there already.
	Invoke-Checked 'pnputil.exe' @('/add-driver', $inf, '/install') @(0, 259)
	if (-not (Get-Service inlay -ErrorAction SilentlyContinue)) {
		# Older versions only put such a driver into the store.
		Invoke-Checked 'rundll32.exe' @('setupapi.dll,InstallHinfSection', 'DefaultInstall', '132', $inf)
		Start-Sleep -Seconds 2
	}
	if (-not (Get-Service inlay -ErrorAction SilentlyContinue)) { Stop-With "the driver's service was not made: see C:\Windows\INF\setupapi.dev.log" }
	& fltmc.exe load inlay
	if (-not ((& fltmc.exe filters) -match '^inlay\s')) { Stop-With 'the driver does not load: see the event log "System", and "sc query inlay"' }
	New-Item -ItemType Directory -Force $Target | Out-Null
	$program = Join-Path $Target 'inlay.exe'
	if (Get-Service InlayService -ErrorAction SilentlyContinue) { Invoke-Checked $program @('service', 'stop') }
	Copy-Item $exe $program -Force
	if (-not (Get-Service InlayService -ErrorAction SilentlyContinue)) { Invoke-Checked $program @('service', 'install') }
	Invoke-Checked $program @('service', 'start')
	Write-Host "installed. Attach with: & '$program' attach SERVER/EXPORT DIRECTORY"
}

function Invoke-Verify {
	Invoke-Checked 'fltmc.exe' @('filters')
	& fltmc.exe instances -f inlay
	Invoke-Checked 'sc.exe' @('query', 'inlay')
	Invoke-Checked 'sc.exe' @('query', 'InlayService') @(0, 1060)
	foreach ($file in @((Join-Path $env:windir 'System32\drivers\inlay.sys'), (Join-Path $Target 'inlay.exe'))) {
		if (Test-Path $file) { Get-AuthenticodeSignature $file | Format-List Path, Status, StatusMessage }
	}
	& verifier.exe /querysettings
	& (Join-Path $Target 'inlay.exe') status
}

function Invoke-Uninstall {
	$program = Join-Path $Target 'inlay.exe'
	if (Test-Path $program) {
		$attached = ((& $program status --json) | ConvertFrom-Json).attachments
		foreach ($one in @($attached)) { if ($one) { Invoke-Checked $program @('detach', $one.dir) } }
		if (Get-Service InlayService -ErrorAction SilentlyContinue) { Invoke-Checked $program @('service', 'remove') }
	}
	if ((& fltmc.exe filters) -match '^inlay\s') { Invoke-Checked 'fltmc.exe' @('unload', 'inlay') }
	# Its name in the driver store is oemN.inf.
	$package = Get-WindowsDriver -Online | Where-Object { (Split-Path $_.OriginalFileName -Leaf) -eq 'inlay.inf' }
	foreach ($one in @($package)) { if ($one) { Invoke-Checked 'pnputil.exe' @('/delete-driver', $one.Driver, '/uninstall', '/force') @(0, 3010) } }
	if (Get-Service inlay -ErrorAction SilentlyContinue) { Invoke-Checked 'sc.exe' @('delete', 'inlay') }
	Remove-Item (Join-Path $env:windir 'System32\drivers\inlay.sys') -Force -ErrorAction SilentlyContinue
	Remove-Item $Target -Recurse -Force -ErrorAction SilentlyContinue
	Remove-Item HKLM:\SOFTWARE\Inlay -Recurse -Force -ErrorAction SilentlyContinue
	foreach ($store in 'My', 'Root', 'TrustedPublisher') {
		Get-ChildItem "Cert:\LocalMachine\$store" | Where-Object { $_.Subject -eq $subject } | Remove-Item
	}
	Write-Host 'removed. "bcdedit /set testsigning off" and a restart make Windows refuse test signatures again.'
}

Assert-Administrator
switch ($Action) {
	'Sign' { Invoke-Sign }
	'Install' { Invoke-Install }
	'Verify' { Invoke-Verify }
	'Uninstall' { Invoke-Uninstall }
}
