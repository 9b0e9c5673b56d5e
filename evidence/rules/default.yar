/*
   The rules that come with the product: few, and without false alarms by design.
   Test strings are written as hex, so that a scanner does not flag this file.
*/

rule soar_lab_marker
{
    meta:
        description = "The marker of the simulated estate: SOAR-LAB-MALWARE-7f3a91"
        severity = "test"
    strings:
        $marker = { 53 4F 41 52 2D 4C 41 42 2D 4D 41 4C 57 41 52 45 2D 37 66 33 61 39 31 }
    condition:
        $marker
}

rule eicar_test_file
{
    meta:
        description = "The EICAR anti-malware test file"
        severity = "test"
    strings:
        $head = { 58 35 4F 21 50 25 40 41 50 5B 34 5C 50 5A 58 35 34 28 50 5E 29 37 43 43 29 37 7D 24 }
        $tail = { 45 49 43 41 52 2D 53 54 41 4E 44 41 52 44 2D 41 4E 54 49 56 49 52 55 53 }
    condition:
        for any i in (1 .. #head) : ( $tail at @head[i] + 28 )
}

rule powershell_hidden_encoded_command
{
    meta:
        description = "PowerShell started without a window and with an encoded command"
        severity = "medium"
    strings:
        $shell = "powershell" nocase ascii wide
        $hidden = /[-\/]w(indowstyle)?[ ]{1,4}(hidden|1)[ ]/ nocase ascii wide
        $encoded = /[-\/]e(nc|ncodedcommand)?[ ]{1,4}[A-Za-z0-9+\/]{64}/ nocase ascii wide
    condition:
        $shell and $hidden and $encoded
}

rule php_shell_over_request
{
    meta:
        description = "PHP that runs what a request sends"
        severity = "high"
    strings:
        $tag = "<?php" nocase
        $run = /(eval|assert|system|passthru|shell_exec|popen)[ ]{0,4}\([ ]{0,4}(base64_decode[ ]{0,4}\([ ]{0,4})?\$_(GET|POST|REQUEST|COOKIE)[ ]{0,4}\[/ nocase
    condition:
        $tag and $run
}
