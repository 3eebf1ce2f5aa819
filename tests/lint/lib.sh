# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# shellcheck disable=SC2034 # used by those that source it
# Shared by the checks here. The tree is $top_srcdir (or found from $0).

: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
cd "$top_srcdir" || exit 99

# Every file of the tree that people write, one a line. Not git's list: an
# unpacked release has none.
sources()
{
    find . \( -name .git -o -name autom4te.cache -o -name build-aux \
        -o -name '_build' -o -name '_inst' -o -name '__pycache__' \
        -o -name '.deps' \) -prune -o -type f \
        ! -name '*.o' ! -name '*.log' ! -name '*.trs' ! -name '*.tar.*' \
        ! -name 'configure' ! -name 'configure~' ! -name 'aclocal.m4' \
        ! -name 'Makefile' ! -name 'Makefile.in' ! -name 'config.*' \
        ! -name 'stamp-h1' -print | sed 's|^\./||' | sort
}

c_sources()
{
    sources | grep '\.[ch]$'
}

# Those that start with a shell's #! line, and the shell libraries.
shell_sources()
{
    sources | while IFS= read -r file; do
        case $file in
        *.sh)
            echo "$file"
            continue
            ;;
        esac
        IFS= read -r line <"$file" 2>/dev/null || continue
        case $line in
        '#!'*/sh | '#!'*/sh\ * | '#!'*bash* | '#!'*dash*)
            echo "$file"
            ;;
        esac
    done
}

failed=0
fail()
{
    echo "$*"
    failed=1
}
