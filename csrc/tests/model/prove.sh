#!/bin/sh
# prove.sh BUILD [--short] -- PROGRAM...: runs the programs, as many at a time as there are
# processors, prints their tables in order, and adds up what passed and failed.
build=$1
shift
short=
[ "$1" = --short ] && short=$1 && shift
shift
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

printf '%s\n' "$@" |
    xargs -P "$jobs" -I NAME sh -c "'$build/NAME' $short >'$build/NAME.out' 2>&1; :"

printf '%-9s %-58s %s  %-8s %9s %9s %8s  %s\n' subject 'what was checked' threads bounds \
    schedules states time verdict
passed=0
failed=0
for name in "$@"; do
    grep -vE '^[0-9]+ passed, [0-9]+ failed$' "$build/$name.out"
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$build/$name.out" | tail -n 1)
    if [ -z "$line" ]; then
        echo "$name ended without a result"
        failed=$((failed + 1))
        continue
    fi
    f=${line##* passed, }
    passed=$((passed + ${line%% passed*}))
    failed=$((failed + ${f%% failed*}))
done
echo "bounds: switches away from a thread that could go on; loads of other than the newest store"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
