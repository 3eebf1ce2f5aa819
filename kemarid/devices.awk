# SPDX-License-Identifier: GPL-2.0-or-later
# Makes lines of C of devices.table; names file and line of what is wrong.

function bad(text)
{
    printf "%s:%d: %s\n", FILENAME, FNR, text > "/dev/stderr"
    failed = 1
}

BEGIN {
    split("protected loose machine kvm untried refused internal", names, " ")
    for (i in names) {
        class[names[i]] = 1
    }
}

/^[ \t]*(#|$)/ { next }

{
    reason = $0
    sub(/^[ \t]*[^ \t]+[ \t]+[^ \t]+[ \t]*/, "", reason)
    sub(/[ \t]+$/, "", reason)
    if (NF < 2) {
        bad("no class for '" $1 "'")
    } else if (!($2 in class)) {
        bad("unknown class '" $2 "'")
    } else if (NF < 3) {
        bad("no reason for '" $1 "'")
    } else if ($1 !~ /^[A-Za-z0-9_.*-]+$/) {
        bad("no name of a type: '" $1 "'")
    } else if ($1 in line) {
        bad("'" $1 "' is in line " line[$1] " already")
    } else if (reason ~ /["\\?]/ || reason ~ /[^ -~]/) {
        bad("a character that C would read in its own way")
    } else if ($2 == "refused" && reason !~ /: [^ ]/) {
        bad("'" $1 "' is refused, and after no ': ' is what to do instead")
    } else if ($1 ~ /[*]/ && $1 !~ /-cpu$/ &&
               $2 ~ /^(protected|loose|machine|kvm)$/) {
        bad("'" $1 "' would accept what nobody has tried")
    } else {
        printf "    { \"%s\", KMR_DEVICE_%s, \"%s\" },\n", $1, toupper($2),
            reason
    }
    line[$1] = FNR
    lines++
}

END {
    if (!failed && !lines) {
        FNR = 0
        bad("no device in it")
    }
    exit failed
}
