#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The device table's reader: what it makes of good lines, and that it names
# file and line of a bad one, and makes nothing of the table then.

reader=${top_srcdir:-.}/kemarid/devices.awk
: "${AWK:=awk}"
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
failed=0

fail()
{
    printf '%s\n' "$1"
    failed=1
}

# TABLE, with \n: reads it
reads()
{
    printf '%b' "$1" >"$folder/t"
    (cd "$folder" && "$AWK" -f "$reader" t) >"$folder/out" 2>"$folder/err"
}

# TABLE TEXT: is bad, and TEXT is in what is said
bad()
{
    if reads "$1"; then
        fail "read: $1"
    elif ! grep -qF "$2" "$folder/err"; then
        fail "\"$2\" is not in: $(cat "$folder/err")"
    fi
}

case $reader in
/*) ;;
*) reader=$PWD/$reader ;;
esac

reads '# c\n\n  a.b-C_1 \t loose  shown,  at once \nx* refused no: remove it' ||
    fail "not read: $(cat "$folder/err")"
cat >"$folder/want" <<'END'
    { "a.b-C_1", KMR_DEVICE_LOOSE, "shown,  at once" },
    { "x*", KMR_DEVICE_REFUSED, "no: remove it" },
END
cmp "$folder/want" "$folder/out" || fail "other lines than wanted"
reads 'q-x86_64-cpu machine r\n*-x86_64-cpu machine r\n' ||
    fail "a pattern for CPUs"

bad '# c\nVGA\n' "t:2: no class for 'VGA'"
bad 'VGA good why\n' "t:1: unknown class 'good'"
bad 'VGA why is this\n' "t:1: unknown class 'why'"
bad '\n\nVGA loose\n' "t:3: no reason for 'VGA'"
bad 'VGA loose   \t\n' "t:1: no reason for 'VGA'"
bad 'V"A loose why\n' "t:1: no name of a type: 'V\"A'"
bad 'a loose b\nc loose d\na untried e\n' "t:3: 'a' is in line 1 already"
bad 'a loose a "quoted" word\n' "t:1: a character that C would read"
bad 'a loose back\\\\slash\n' "t:1: a character that C would read"
bad 'a refused no\n' "t:1: 'a' is refused, and after no ': ' is what to do"
bad 'a refused no: \n' "t:1: 'a' is refused, and after no ': ' is what to do"
for class in protected loose machine kvm; do
    bad "a* $class r\n" "t:1: 'a*' would accept what nobody has tried"
done
bad '# only words\n' "t:0: no device in it"
bad 'a loose b\nc d e\nf loose\n' "t:3: no reason for 'f'"
grep -qF "t:2: unknown class 'd'" "$folder/err" || fail "only the last is named"
[ "$failed" -eq 0 ] && echo "as expected"
exit "$failed"
