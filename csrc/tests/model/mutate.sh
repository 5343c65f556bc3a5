#!/bin/sh
# mutate.sh BUILD CORE LIST [NAME...]: plants each bug of LIST (the format is told in mutants.txt)
# in a copy of the sources, runs the tests that should find it, and prints what they said as a
# Markdown table. As many at a time as there are processors.
#
# excused.txt names those that need not be found, each with the reason. They get 3 s of a processor
# (EXCUSED_SECONDS), and one that is found all the same must not be there.
build=$1
core=$2
list=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

one() { # NAME
    dir=$build/mutants/$1
    # shellcheck disable=SC2046
    set -- "$1" $(cat "$dir/file") $(cat "$dir/program")
    mkdir -p "$dir/core/include" "$dir/build"
    cp -p "$core"/*.c "$core"/*.h "$dir/core"
    cp -p "$core"/include/*.h "$dir/core/include"
    sed -f "$dir/sed" "$core/$2" >"$dir/core/$2"
    if cmp -s "$core/$2" "$dir/core/$2"; then
        echo "the patch does not apply" >"$dir/verdict"
        return
    fi
    cp -p "$build"/*.o "$dir/build" # only what depends on the changed file is compiled again
    if ! make -s -C "$here" CORE="$dir/core" BUILD="$dir/build" "$dir/build/$3" >"$dir/log" 2>&1; then
        echo "does not compile" >"$dir/verdict"
    else
        limit=300
        grep -q "^$1: " "$here/excused.txt" && limit=${EXCUSED_SECONDS:-3}
        (
            ulimit -t "$limit"
            exec "$dir/build/$3" --mutant "$(cat "$dir/test")"
        ) >"$dir/verdict" 2>&1
        [ -s "$dir/verdict" ] || echo survived >"$dir/verdict" # in that time
    fi
    rm -rf "$dir/core" "$dir/build"
}

if [ "$1" = --one ]; then
    one "$2"
    exit
fi

rm -rf "$build/mutants"
mkdir -p "$build/mutants"
awk -v out="$build/mutants" '
    /^#/ || NF == 0 { next }
    /^ / { print substr($0, 5) > (dir "/sed"); next }
    {
        close(dir "/sed")
        dir = out "/" $1
        system("mkdir -p " dir)
        print $2 > (dir "/file")
        print $3 > (dir "/program")
        close(dir "/file")
        close(dir "/program")
        $1 = $2 = $3 = ""
        sub(/^ +/, "")
        print > (dir "/test")
        close(dir "/test")
    }' "$list"

names=${*:-$(awk '!/^[# ]/ && NF { print $1 }' "$list")}
# shellcheck disable=SC2086
printf '%s\n' $names | xargs -P "$jobs" -I NAME "$0" "$build" "$core" "$list" --one NAME

found=0
excused=0
bad=0
echo "| planted bug | in | found by | as |"
echo "|---|---|---|---|"
for name in $names; do
    verdict=$(head -n 1 "$build/mutants/$name/verdict" 2>/dev/null)
    excuse=$(sed -n "s/^$name: //p" "$here/excused.txt")
    case $verdict in
    '' | 'the patch does not apply' | 'does not compile')
        bad=$((bad + 1))
        text="**NOT TRIED** | ${verdict:-no verdict}"
        ;;
    survived)
        if [ -n "$excuse" ]; then
            excused=$((excused + 1))
            text="nobody | $excuse"
        else
            bad=$((bad + 1))
            text="**NOBODY** | "
        fi
        ;;
    *)
        found=$((found + 1))
        text="${verdict%: *} | ${verdict##*: }"
        if [ -n "$excuse" ]; then
            bad=$((bad + 1))
            text="$text, **though excused.txt names it**"
        fi
        ;;
    esac
    echo "| $name | \`$(cat "$build/mutants/$name/file")\` | $text |"
done
echo
echo "$found found, $excused excused, $bad wrong"
[ "$bad" -eq 0 ]
