#!/bin/sh
# mutate.sh BUILD CORE [NAME...]: plants each bug of mutants.txt in a copy of the sources, runs
# the tests that should find it, and prints what they said. As many at a time as there are
# processors.
build=$1
core=$2
shift 2
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
        timeout 120 "$dir/build/$3" --mutant "$(cat "$dir/test")" >"$dir/verdict" 2>&1
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
        dir = out "/" $1
        system("mkdir -p " dir)
        print $2 > (dir "/file")
        print $3 > (dir "/program")
        $1 = $2 = $3 = ""
        sub(/^ +/, "")
        print > (dir "/test")
    }' "$here/mutants.txt"

names=${*:-$(awk '!/^[# ]/ && NF { print $1 }' "$here/mutants.txt")}
# shellcheck disable=SC2086
printf '%s\n' $names | xargs -P "$jobs" -I NAME "$0" "$build" "$core" --one NAME

passed=0
failed=0
printf '\n%-44s %-14s %s\n' 'planted bug' file 'found by: verdict'
for name in $names; do
    verdict=$(head -n 1 "$build/mutants/$name/verdict" 2>/dev/null)
    case $verdict in
    '' | survived | 'the patch does not apply' | 'does not compile')
        failed=$((failed + 1))
        verdict="NOT FOUND: $verdict"
        ;;
    *) passed=$((passed + 1)) ;;
    esac
    printf '%-44s %-14s %s\n' "$name" "$(cat "$build/mutants/$name/file")" "$verdict"
done
echo "planted bugs: $passed found, $failed not"
[ "$failed" -eq 0 ]
